"""From rows and a few words to a whole spec: what is left out is chosen by the target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fitd_client.errors import UnreadableData
from fitd_client.tables import Table, names_of, table_of

__all__ = ["Rows", "Task", "merged", "rows_of", "spec_of", "task_of"]

Named = str | Mapping[str, Any]

_MOST_CLASSES = 20
_LEAST_ROWS_OF_A_CLASS = 5
_FULL_BATCH_ROWS = 4096
_PARTS = {
    "mlp": {"hidden": [32, 32]},
    "polynomial": {"degree": 3},
    "cnn": {"blocks": [{"channels": 16, "pool": {"type": "MaxPool2d", "kernel_size": 2}}]},
}
"""What models need beside their names."""
_LINE = "linear"
_CLASS_LOSSES = frozenset(
    {
        "CrossEntropyLoss",
        "NLLLoss",
        "MultiMarginLoss",
        "BCELoss",
        "BCEWithLogitsLoss",
        "SoftMarginLoss",
        "MultiLabelSoftMarginLoss",
        "MultiLabelMarginLoss",
        "HingeEmbeddingLoss",
    }
)
_TWO = 2


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows with their parts told apart.

    Attributes:
        table: All columns.
        targets: Names of the targets.
        features: Names of the features, in their order.
        weight: Name of the column of weights, where there is one.
    """

    table: Table
    targets: list[str]
    features: list[str]
    weight: str | None = None

    @property
    def data(self) -> dict[str, Any]:
        """What the spec says of the columns."""
        target = self.targets[0] if len(self.targets) == 1 else self.targets
        told = {"target": target, "features": self.features, "weight": self.weight}
        return {name: value for name, value in told.items() if value}


def rows_of(
    X: Any,  # noqa: ANN401, N803 - tables of all kinds, and their usual name
    y: Any = None,  # noqa: ANN401 - a column of any kind
    *,
    target: str | Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    weight: Any = None,  # noqa: ANN401 - a name or a column
) -> Rows:
    """Put features, target and weights into one table.

    Args:
        X: The table: with the target in it, or beside it in `y`.
        y: The target, or several as columns.
        target: Name of the target in `X`, or several; or the name that `y` gets.
        features: Names of the features; all other columns where they are left out.
        weight: Name of a column in `X`, or the weight of each row.

    Raises:
        UnreadableData: There is no target, or a column that is named is not there.
    """
    table = table_of(X)
    if y is None:
        targets = [target] if isinstance(target, str) else list(target or ())
    else:
        beside = _target_columns(y, target, taken=table.names)
        table, targets = table.with_columns(beside), list(beside)
    if weight is not None and not isinstance(weight, str):
        name = _free("weight", table.names)
        table, weight = table.with_columns({name: weight}), name
    if not targets:
        raise UnreadableData('There is no target: name it with target="…", or give it as y.')
    _check_names([*targets, *(features or ()), *([weight] if weight else ())], table)
    rest = [name for name in table.names if name not in {*targets, weight}]
    return Rows(table, targets, list(features or rest), weight)


def _check_names(names: Sequence[str], table: Table) -> None:
    for name in names:
        if name not in table.names:
            shown = ", ".join(f"`{one}`" for one in table.names[:20])
            raise UnreadableData(f"There is no column `{name}`; there are {shown}.")


def _free(name: str, taken: Sequence[str]) -> str:
    count = 2
    found = name
    while found in taken:
        found, count = f"{name} ({count})", count + 1
    return found


def _target_columns(y: Any, target: str | Sequence[str] | None, *, taken: Sequence[str]) -> dict[str, Any]:  # noqa: ANN401
    """Give the columns of a target that stands beside its features."""
    named = [target] if isinstance(target, str) else list(target or ())
    if hasattr(y, "columns") or isinstance(y, Mapping) or getattr(y, "ndim", 1) > 1:
        table = table_of(y)
        width = len(table.names)
        plain = names_of(width) == table.names
        names = named or ([name.replace("x", "y", 1) for name in table.names] if plain else table.names)
        columns = [table.values(name) for name in table.names]
    else:
        own = getattr(y, "name", None)
        names, columns = named or [own if isinstance(own, str) else "y"], [y]
    if len(names) != len(columns):
        raise UnreadableData(f"y has {len(columns)} columns, and there are {len(names)} names for it.")
    free = [_free(name, taken) for name in names] if not named else names
    return dict(zip(free, columns, strict=True))


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked: numbers or classes.

    Attributes:
        classes: How many classes there are; 0 where the target is numbers.
    """

    classes: int = 0

    @property
    def model(self) -> str:
        """The smallest model for it."""
        return _LINE if not self.classes else "logistic" if self.classes == _TWO else "softmax"

    @property
    def loss(self) -> str:
        """The usual loss for it."""
        if not self.classes:
            return "MSELoss"
        return "BCEWithLogitsLoss" if self.classes == _TWO else "CrossEntropyLoss"


def task_of(
    rows: Rows, *, loss: str | None = None, model: str | None = None, task: str | None = None
) -> Task:
    """Tell what is asked by the target: texts and truth values are classes, and so are few whole numbers.

    Args:
        rows: With the target.
        loss: One that was chosen: it decides.
        model: One that was chosen: `logistic` and `softmax` want classes.
        task: `regression` or `classification`: it decides.
    """
    if len(rows.targets) > 1:
        return Task()
    values = {value for value in rows.table.values(rows.targets[0]) if not isinstance(value, list)}
    values.discard(None)
    wanted = {"regression": False, "classification": True}.get(task or "")
    if wanted is None and loss is not None:
        wanted = loss in _CLASS_LOSSES
    if wanted is None:
        wanted = model in {"logistic", "softmax"} or _are_classes(values, rows=rows.table.rows)
    return Task(len(values)) if wanted else Task()


def _are_classes(values: set[Any], *, rows: int) -> bool:
    if any(isinstance(value, str | bool) for value in values):
        return True
    few = len(values) <= min(_MOST_CLASSES, rows // _LEAST_ROWS_OF_A_CLASS)
    return few and all(isinstance(value, int) for value in values)


def spec_of(  # noqa: PLR0913 - one argument for each thing that one may say, all named
    rows: Rows,
    *,
    model: Named | None = None,
    loss: Named | None = None,
    optimizer: Named | None = None,
    lr: float | None = None,
    epochs: int | None = None,
    batch_size: int | str | None = None,
    scaling: str | None = None,
    dev: float | None = None,
    test: float | None = None,
    seed: int | None = None,
    task: str | None = None,
) -> dict[str, Any]:
    """Write the spec of a fit, but for its rows: what is left out is chosen by the target.

    Args:
        rows: With the target.
        model: Its type, or an object with its fields.
        loss: As `model`.
        optimizer: As `model`.
        lr: Learning rate.
        epochs: Passes over the rows.
        batch_size: Rows of one step, or `full`.
        scaling: `none`, `standardize` or `min_max`, of the features and of a target of numbers.
        dev: Share of the rows to watch the fit on.
        test: Share of the rows to look at once, at the end.
        seed: Of the initial parameters and the order of the rows.
        task: `regression` or `classification`, where the target does not tell.
    """
    asked = task_of(rows, loss=_type(loss), model=_type(model), task=task)
    chosen_model = _named(model or asked.model, _PARTS)
    chosen_loss = _named(loss or asked.loss)
    straight = (chosen_model["type"], chosen_loss["type"]) == (_LINE, "MSELoss")
    small = rows.table.rows <= _FULL_BATCH_ROWS
    scaled = scaling or "standardize"
    chosen_optimizer = (
        _named(optimizer) if optimizer else _optimizer(len(rows.features), straight=straight and small)
    )
    spec = {
        "model": chosen_model,
        "loss": chosen_loss,
        "optimizer": chosen_optimizer | ({} if lr is None else {"lr": lr}),
        "training": {
            "epochs": epochs or (2000 if straight and small else 300 if small else 20),
            "batch_size": batch_size or ("full" if small else 1024),
            **({} if seed is None else {"seed": seed}),
        },
        "preprocessing": {"scaling": scaled} | ({} if asked.classes else {"target_scaling": scaled}),
    }
    shares = {name: share for name, share in (("dev", dev), ("test", test)) if share is not None}
    return spec | ({"evaluation": {"split": {"type": "random", "dev": 0.0, **shares}}} if shares else {})


def _optimizer(features: int, *, straight: bool) -> dict[str, Any]:
    """Choose steps that neither crawl nor leap on scaled columns.

    The bowl of a line's loss is at most 2 (1 + features) steep: steps of this length cannot diverge, and with
    momentum and full batches the service finds all of them at once.
    """
    if straight:
        return {"type": "SGD", "lr": min(0.1, 1 / (1 + features)), "momentum": 0.9}
    return {"type": "Adam", "lr": 0.01}


def _type(part: Named | None) -> str | None:
    return part if part is None or isinstance(part, str) else part.get("type")


def _named(part: Named, needs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"type": part, **(needs or {}).get(part, {})} if isinstance(part, str) else dict(part)


def merged(spec: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Put changes into a spec: objects within objects, everything else in the place of what was there.

    An object that names another `type` takes the whole place: its fields are others.
    """
    found = dict(spec)
    for name, value in changes.items():
        old = found.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        same = both and value.get("type", old.get("type")) == old.get("type")  # type: ignore[union-attr]
        found[name] = merged(old, value) if same else value  # type: ignore[arg-type]
    return found
