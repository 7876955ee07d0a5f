"""What is written for Node: tested where it is installed, and always where it must be."""

import os
import shutil
from pathlib import Path

import pytest


def needs(built: Path) -> pytest.MarkDecorator:
    """Skip where Node is not installed or something is not built; CI sets FITD_REQUIRE_NODE, and nothing is skipped."""
    missing = shutil.which("node") is None or not built.exists()
    return pytest.mark.skipif(
        missing and not os.environ.get("FITD_REQUIRE_NODE"),
        reason=f"needs Node, and {built.name}: `make node-parts`",
    )
