"""A model for fitd: radial basis functions."""
