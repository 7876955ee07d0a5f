"""Write scikit-learn's digits as MNIST is written: two gzipped IDX files, of images and of labels.

Usage: write_idx.py FOLDER
"""

import gzip
import struct
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

UNSIGNED_BYTES = 8
"""IDX's number for uint8."""


def write(path: Path, values: np.ndarray) -> None:
    """Write uint8 values: two zero bytes, the type, the number of axes, their sizes big-endian, the numbers."""
    header = struct.pack(f">HBB{values.ndim}I", 0, UNSIGNED_BYTES, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes(), mtime=0))


def enlarged(images: np.ndarray) -> np.ndarray:
    """Make images of 8 x 8 with values from 0 to 16 ones of 28 x 28 with values from 0 to 255.

    Each pixel becomes 3 x 3 pixels; a dark frame of 2 pixels does the rest.
    """
    larger = np.kron(images, np.ones((3, 3))) * 255 / 16
    return np.pad(larger.round(), ((0, 0), (2, 2), (2, 2)))


folder = Path(sys.argv[1])
digits = load_digits()
write(folder / "train-images-idx3-ubyte.gz", enlarged(digits.images))
write(folder / "train-labels-idx1-ubyte.gz", digits.target)
