"""One model for each group of rows: thousands of small trainings in one job."""
