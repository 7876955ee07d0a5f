"""An affine model under the mean squared error: the rows are read once, and each epoch is arithmetic on a small matrix."""
