"""Copy a compiled requirements file without the CUDA libraries that torch pins by itself."""

import re
import sys
from pathlib import Path

CUDA = re.compile(r"(nvidia-|cuda-)[a-z0-9-]+==")


def without_cuda(text: str) -> str:
    """Drop each requirement whose name is a CUDA library, with its hash and comment lines."""
    kept: list[str] = []
    dropping = False
    for line in text.splitlines():
        if not line.startswith((" ", "#")):
            dropping = CUDA.match(line) is not None
        if not dropping:
            kept.append(line)
    return "\n".join(kept) + "\n"


if __name__ == "__main__":
    source, target = sys.argv[1:]
    Path(target).write_text(without_cuda(Path(source).read_text("utf-8")), "utf-8")
