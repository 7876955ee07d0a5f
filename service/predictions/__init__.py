"""Batch predictions: all rows of an uploaded dataset, predicted beside the trainings, with a file as the result."""
