"""Packages that are used where they are installed, and loaded only then."""

import importlib
import importlib.util
from typing import Any

from fitd_client.errors import MissingPackage

__all__ = ["has", "package"]

_EXTRAS = {"pandas": "pandas", "pyarrow": "arrow", "numpy": "sklearn", "sklearn": "sklearn"}


def package(name: str, *, why: str) -> Any:  # noqa: ANN401 - its types are its own
    """Load a package.

    Args:
        name: As it is imported.
        why: What it is needed for, as the begin of a sentence.

    Raises:
        MissingPackage: It is not installed; the text says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        root = name.split(".", maxsplit=1)[0]
        extra = _EXTRAS.get(root)
        how = f"pip install 'fitd-client[{extra}]'" if extra else f"pip install {root}"
        raise MissingPackage(f"{why} needs {root}, which is not installed: {how}") from error


def has(name: str) -> bool:
    """Tell whether a package is installed."""
    return importlib.util.find_spec(name) is not None
