"""What fitd is measured against: the plain torch loop, a running service, other libraries. `make bench` runs all."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
