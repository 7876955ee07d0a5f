"""HTTP: one router for each noun, translation in and out, and nothing of what jobs or training mean."""
