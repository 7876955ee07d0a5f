"""Jobs: the table that is both record and queue, its life cycle, and what callers and workers do with it."""
