"""Write scikit-learn's digits, 1797 images of 8 x 8 grey values from 0 to 16, as an npz file.

Usage: write_digits.py FILE
"""

import sys

import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
# An image has the shape (1, 8, 8): channels first, as torch has it.
np.savez_compressed(sys.argv[1], image=digits.images[:, None].astype(np.uint8), label=digits.target)
