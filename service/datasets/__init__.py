"""Uploaded datasets: who has which, and what is in them. The files are in `service.tables`."""
