"""A job as a plain PyTorch script, which repeats the fit and compares itself with it."""
