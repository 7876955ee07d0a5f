"""Batch predictions beside a worker: a thread that claims them, and a process that predicts."""
