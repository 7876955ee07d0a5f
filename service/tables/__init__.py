"""Tables in memory and on disk: named columns as numpy arrays. No torch, no HTTP, no database."""
