"""Retention: what may go by the operator's settings goes, and what crashes left behind goes too."""
