"""Registered models: names whose versions outlive the jobs that trained them."""
