"""From a job to its pictures."""

import math
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy.orm import Session

from service import plots
from service.api.negotiation import PNG
from service.exceptions import PictureNotAvailable, TrainingFailed
from service.jobs import repository, service
from service.jobs.history import History
from service.jobs.orm import Job
from service.plots import Run, Scene
from service.spec.job import JobSpec

if TYPE_CHECKING:
    from service.inference.predictor import Predictor
    from service.inference.sample import Sample

__all__ = ["Plot", "draw", "losses_of", "own_epochs", "render", "runs_of"]


class Plot(StrEnum):
    """The pictures of a job."""

    LOSS = "loss"
    """Loss over the epochs."""
    LEARNING_RATE = "learning_rate"
    """Learning rate over the epochs."""
    FIT = "fit"
    """The data with the fitted line or curve; of one feature."""
    PREDICTED = "predicted"
    """Predicted numbers over actual ones."""
    RESIDUALS = "residuals"
    """Errors over the predicted numbers."""
    RESIDUAL_HISTOGRAM = "residual_histogram"
    """How often errors of each size are."""
    CONFUSION = "confusion"
    """Actual classes against predicted ones."""
    BOUNDARY = "boundary"
    """Regions of the predicted classes; of two features."""
    WEIGHTS = "weights"
    """Weights of the first layer."""


MAX_POINTS = 100_000
"""Rows that are drawn at most; of more, some are picked evenly."""
CURVE_POINTS = 400


def draw(session: Session, job: Job, plot: Plot, *, datasets: Path) -> Scene:
    """Draw a picture of a job.

    Args:
        session: Any session.
        job: The job.
        plot: Which picture.
        datasets: The folder of the stored datasets.

    Raises:
        PictureNotAvailable: The job is not of the kind that this picture shows.
        StateConflict: The picture needs parameters, and the job has none yet.
        NoParameters: The job ended without parameters.
    """
    if plot in _OF_HISTORY:
        return _OF_HISTORY[plot](job, repository.history(session, job))
    spec, predictor = _trained(session, job)
    why = _refusal(plot, predictor)
    if why is not None:
        raise PictureNotAvailable(why, hint=_drawn_instead(predictor))
    if plot in _OF_PARAMETERS:
        return _OF_PARAMETERS[plot](job, predictor)
    return _OF_ROWS[plot](job, _sample(spec, predictor, datasets))


def render(scene: Scene, media: str) -> bytes:
    """Write a picture as PNG or SVG."""
    return plots.render_png(scene) if media == PNG else plots.render_svg(scene)


def _title(what: str, job: Job) -> str:
    return f"{what} of {job.name or job.id}"


def _loss(job: Job, history: History) -> Scene:
    runs = runs_of(history)
    kept = (job.result or {}).get("kept_run") or len(runs)
    main = runs[kept - 1] if runs else history
    others: list[Run] = [(own_epochs(one), losses_of(one)) for one in runs if one is not main]
    kept_epoch = (job.result or {}).get("kept_epoch")
    if kept_epoch is not None and len(main.epochs) and kept_epoch != main.epochs[-1]:
        kept_epoch -= int(main.epochs[0]) - 1
    else:
        kept_epoch = None  # The last epoch's parameters are kept as a rule: no mark is needed.
    return plots.loss_figure(
        own_epochs(main),
        losses_of(main),
        title=_title("Loss", job),
        kept_epoch=kept_epoch,
        other_runs=others,
    )


def own_epochs(run: History) -> list[int]:
    """Count the epochs of one training from 1: several lie over each other."""
    epochs: list[int] = (run.epochs - run.epochs[:1] + 1).tolist()
    return epochs


def runs_of(history: History) -> list[History]:
    """Cut the history of a job with several trainings into theirs; one where there is one."""
    run = history.columns.get("run")
    if run is None or not len(run):
        return [history]
    ends = [*np.flatnonzero(np.diff(run)), len(run) - 1]
    starts = [0, *(end + 1 for end in ends[:-1])]
    epochs = history.epochs
    return [history.between(int(epochs[a]), int(epochs[b])) for a, b in zip(starts, ends, strict=True)]


def losses_of(history: History) -> dict[str, list[float]]:
    """Give the train loss, and the dev loss where there is any."""
    recorded = {name: history.columns[name].tolist() for name in ("train_loss", "dev_loss")}
    return {
        name: values
        for name, values in recorded.items()
        if name == "train_loss" or not all(map(math.isnan, values))
    }


def _learning_rate(job: Job, history: History) -> Scene:
    rates = history.columns["learning_rate"].tolist()
    return plots.learning_rate_figure(history.epochs.tolist(), rates, title=_title("Learning rate", job))


_OF_HISTORY: Mapping[Plot, Callable[[Job, History], Scene]] = {
    Plot.LOSS: _loss,
    Plot.LEARNING_RATE: _learning_rate,
}


def _trained(session: Session, job: Job) -> "tuple[JobSpec, Predictor]":
    from service.inference.predictor import Predictor

    spec = JobSpec.from_text(repository.spec_text(session, [job.seq])[job.seq])
    if spec.data.group_by is not None:
        raise PictureNotAvailable(
            "The job has a model for each group, and this picture shows one model.",
            hint=f"Of this job there are the pictures {' and '.join(_OF_HISTORY)}.",
        )
    return spec, Predictor(spec, service.parameters_of(session, job).data)


def _sample(spec: JobSpec, predictor: "Predictor", datasets: Path) -> "Sample":
    from service.inference.sample import Sample

    try:
        return Sample.of(spec, predictor, datasets=datasets, limit=MAX_POINTS)
    except TrainingFailed as error:
        raise PictureNotAvailable(error.message, hint=error.hint) from None


def _fit(job: Job, sample: "Sample") -> Scene:
    feature = sample.predictor.feature_names[0]
    x = sample.column(feature).astype(np.float64)
    linear = sample.spec.model.type == "linear"
    line = np.linspace(np.nanmin(x), np.nanmax(x), 2 if linear else CURVE_POINTS)
    target = sample.predictor.target_names[0]
    return plots.fit_figure(
        x,
        sample.actual,
        line,
        next(iter(sample.predictor.predict_arrays({feature: line}).columns.values())),
        x_label=feature,
        y_label=target,
        title=_title("Fit", job),
        subtitle=_equation(job, target),
        parts=sample.parts or None,
    )


def _predicted(job: Job, sample: "Sample") -> Scene:
    return plots.predicted_figure(
        sample.actual,
        sample.predicted,
        target=sample.predictor.target_names[0],
        title=_title("Predictions", job),
        parts=sample.parts or None,
    )


def _residuals(job: Job, sample: "Sample") -> Scene:
    return plots.residuals_figure(
        sample.predicted,
        sample.actual - sample.predicted,
        target=sample.predictor.target_names[0],
        title=_title("Residuals", job),
        parts=sample.parts or None,
    )


def _residual_histogram(job: Job, sample: "Sample") -> Scene:
    return plots.residual_histogram_figure(
        sample.actual - sample.predicted,
        target=sample.predictor.target_names[0],
        title=_title("Residuals", job),
    )


def _confusion(job: Job, sample: "Sample") -> Scene:
    """Count the rows that nothing was fitted to, where there are any: the test rows, else those for dev."""
    labels = sample.labels
    part = next((name for name in ("test", "dev") if name in sample.parts), None)
    shown = sample.only(part) if part else sample
    actual, found = shown.actual.astype(int), shown.predicted.astype(int)
    matrix = np.zeros((len(labels), len(labels)))
    np.add.at(matrix, (actual, found), 1)
    subtitle = f"{part or 'train'} rows"
    return plots.confusion_figure(matrix, labels, title=_title("Confusion", job), subtitle=subtitle)


def _boundary(job: Job, sample: "Sample") -> Scene:
    names = sample.predictor.feature_names
    x, y = (sample.column(name).astype(np.float64) for name in names)
    grid_x = plots.grid_axis(x, count=plots.GRID_COLUMNS)
    grid_y = plots.grid_axis(y, count=plots.GRID_ROWS)
    across, down = np.meshgrid(grid_x, grid_y)
    outputs = sample.predictor.outputs({names[0]: across.ravel(), names[1]: down.ravel()})
    return plots.boundary_figure(
        x,
        y,
        sample.actual.astype(int),
        _regions(sample, outputs, shape=across.shape),
        grid_x=grid_x,
        grid_y=grid_y,
        x_label=names[0],
        y_label=names[1],
        labels=sample.labels,
        title=_title("Classes", job),
    )


def _regions(sample: "Sample", outputs: Any, *, shape: tuple[int, ...]) -> Any:  # noqa: ANN401 - tensors and arrays
    meaning = sample.predictor.meaning(outputs)
    if meaning.probabilities is None:
        return meaning.values.reshape(shape).numpy()
    probabilities = meaning.probabilities.numpy()
    return probabilities.reshape(*shape, -1) if probabilities.shape[1] > 1 else probabilities.reshape(shape)


def _weights(job: Job, predictor: "Predictor") -> Scene:
    first, preparation = predictor.first_weights, predictor.preparation
    assert first is not None, "a model without such weights was refused"  # noqa: S101 - known from the refusals
    inputs = [] if any(one.is_embedded for one in preparation.inputs) else preparation.names
    pixels = preparation.shape[-2:]
    if preparation.is_image and first.ndim == 2 and first.shape[1] == math.prod(pixels):  # noqa: PLR2004 - a matrix
        # A layer over flattened images of one channel: each of its outputs looks for a picture.
        first = first.reshape(-1, *pixels)
    named = list(inputs) if first.ndim == 2 and first.shape[1] == len(inputs) else None  # noqa: PLR2004 - a matrix
    return plots.weights_figure(first, title=_title("Weights of the first layer", job), inputs=named)


_OF_ROWS: Mapping[Plot, Callable[[Job, "Sample"], Scene]] = {
    Plot.FIT: _fit,
    Plot.PREDICTED: _predicted,
    Plot.RESIDUALS: _residuals,
    Plot.RESIDUAL_HISTOGRAM: _residual_histogram,
    Plot.CONFUSION: _confusion,
    Plot.BOUNDARY: _boundary,
}
_OF_PARAMETERS: Mapping[Plot, Callable[[Job, "Predictor"], Scene]] = {Plot.WEIGHTS: _weights}


# Why a picture cannot be drawn: told by the model alone, before any row is read.


def _no_numbers(predictor: "Predictor") -> str | None:
    return None if predictor.preparation.target.kind == "values" else "The job predicts no numbers."


def _no_classes(predictor: "Predictor") -> str | None:
    return None if predictor.labels else "The job does not predict one class for each row."


def _too_many_classes(predictor: "Predictor") -> str | None:
    count = len(predictor.labels)
    if count <= plots.MOST_CLASSES:
        return None
    return f"There are {count} classes: more than {plots.MOST_CLASSES} cannot be told apart."


def _not_over_one(predictor: "Predictor") -> str | None:
    return _not_over(predictor, count=1, what="one feature of numbers")


def _not_over_two(predictor: "Predictor") -> str | None:
    return _not_over(predictor, count=2, what="two features of numbers")


def _not_over(predictor: "Predictor", *, count: int, what: str) -> str | None:
    if predictor.code_count is not None:
        return f"The model takes codes: this picture is drawn over {what}, between which there are others."
    if len(predictor.feature_names) == count and all(
        one.kind == "number" for one in predictor.preparation.inputs
    ):
        return None
    return f"This picture is drawn over {what}; the features are {_listed(predictor.feature_names)}."


def _no_weights(predictor: "Predictor") -> str | None:
    if predictor.first_weights is not None:
        return None
    return "The model has no layer with a matrix or filters of weights; GET …/parameters gives all tensors."


_NEEDS: Mapping[Plot, tuple[Callable[["Predictor"], str | None], ...]] = {
    Plot.FIT: (_no_numbers, _not_over_one),
    Plot.PREDICTED: (_no_numbers,),
    Plot.RESIDUALS: (_no_numbers,),
    Plot.RESIDUAL_HISTOGRAM: (_no_numbers,),
    Plot.CONFUSION: (_no_classes, _too_many_classes),
    Plot.BOUNDARY: (_no_classes, _not_over_two),
    Plot.WEIGHTS: (_no_weights,),
}


def _refusal(plot: Plot, predictor: "Predictor") -> str | None:
    reasons = (reason(predictor) for reason in _NEEDS.get(plot, ()))
    return next((why for why in reasons if why is not None), None)


def _drawn_instead(predictor: "Predictor") -> str:
    there = [plot.value for plot in Plot if _refusal(plot, predictor) is None]
    return f"Of this job there are the pictures {', '.join(there[:-1])} and {there[-1]}."


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:5])
    return f"{shown}, …" if len(names) > 5 else shown  # noqa: PLR2004 - fits a line


def _equation(job: Job, target: str) -> str | None:
    """Write a line or polynomial of few terms as a formula."""
    result = job.result or {}
    intercept, weights = result.get("intercept"), result.get("coefficients")
    if not isinstance(intercept, float) or not weights or len(weights) > 4:  # noqa: PLR2004 - fits a line of the picture
        return None
    terms = [f"{weight:.4g}·{name}" for name, weight in weights.items()]
    terms.append(f"{intercept:.4g}")
    return f"{target} = {' + '.join(terms)}".replace("+ -", "- ")
