"""Trained models as files for other programs: made, compared with the service's own predictions, and kept."""
