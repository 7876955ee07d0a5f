"""Predictions: trained parameters back in a network, kept in a bounded cache."""
