"""Sweeps: many trainings of one spec, each with other values in some fields, of which the best is wanted."""
