"""From the options of `fit` to what the client is asked for."""

from collections.abc import Mapping
from typing import Any

from fitd_client.errors import UnreadableData
from fitd_client.fitting import Rows, merged, spec_of

__all__ = ["asked_of"]

_PARTS = ("model", "loss", "optimizer")
_BESIDE = frozenset({"name", "metadata"})
_NO_PART = frozenset(
    {
        "X", "y", "target", "features", "weight", "lr", "epochs", "batch_size", "scaling", "dev", "test", "seed",
        "task", "wait", "key", "send", "self",
    }
)  # fmt: skip
"""What `Client.fit` takes beside parts of a spec."""
_PLACES = {
    "lr": "optimizer.lr",
    "target": "data.target",
    "features": "data.features",
    "weight": "data.weight",
}


def asked_of(
    rows: Rows, *, options: Mapping[str, Any], base: Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Put what is asked into arguments of `Client.fit`: what is said later wins.

    Args:
        rows: With the target.
        options: Of the command line, named as in `Client.fit`; those that are None are left out.
        base: A spec, or parts of one: it wins over what the target would choose.
        changes: From `--set`: they win over everything.

    Raises:
        UnreadableData: A change has no place in a spec.
    """
    said = {name: value for name, value in options.items() if value is not None}
    parts = {part: _part(base.get(part), said.get(part)) for part in _PARTS}
    chosen = spec_of(rows, **parts, scaling=said.get("scaling"), task=said.get("task"))
    whole = merged(merged(merged(chosen, _without_parts(base)), _said(said)), changes)
    _check(whole)
    return whole


def _part(base: Any, named: str | None) -> Any:  # noqa: ANN401 - a part of a spec
    """Give a part of the spec: a name that is given wins, unless the file has more to say of the same."""
    same = isinstance(base, Mapping) and base.get("type") == named
    return base if named is None or same else named


def _without_parts(base: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in base.items() if name not in _PARTS}


def _said(said: Mapping[str, Any]) -> dict[str, Any]:
    """Write options as parts of a spec."""
    training = {name: said[name] for name in ("epochs", "batch_size", "seed") if name in said}
    shares = {name: said[name] for name in ("dev", "test") if name in said}
    parts: dict[str, Any] = {
        "training": training,
        "optimizer": {"lr": said["lr"]} if "lr" in said else {},
        "evaluation": {"split": {"type": "random", "dev": 0.0, **shares}} if shares else {},
        "preprocessing": {"scaling": said["scaling"]} if "scaling" in said else {},
        "name": said.get("name"),
        "metadata": said.get("metadata"),
    }
    return {name: value for name, value in parts.items() if value}


def _check(whole: Mapping[str, Any]) -> None:
    for name in whole:
        if name in _NO_PART:
            place = _PLACES.get(name, f"training.{name}")
            raise UnreadableData(f"`{name}` is no part of a spec: write its place, as in --set {place}=…")
