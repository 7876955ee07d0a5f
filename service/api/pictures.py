"""From a job to its pictures."""

import math
from enum import StrEnum

from sqlalchemy.orm import Session

from service.api.negotiation import PNG
from service.exceptions import PictureNotAvailable
from service.jobs import repository, service
from service.jobs.orm import Job
from service.plots import Scene, fit_figure, loss_figure, render_png, render_svg
from service.spec.job import JobSpec

__all__ = ["Plot", "draw", "render"]


class Plot(StrEnum):
    """The pictures of a job."""

    LOSS = "loss"
    """Loss over the epochs."""
    FIT = "fit"
    """The data with the fitted line."""


MAX_POINTS = 100_000


def draw(session: Session, job: Job, plot: Plot) -> Scene:
    """Draw a picture of a job.

    Raises:
        PictureNotAvailable: The job is not of the kind that this picture shows.
        StateConflict: The picture needs parameters, and the job has none yet.
        NoParameters: The job ended without parameters.
    """
    return {Plot.LOSS: _loss, Plot.FIT: _fit}[plot](session, job)


def render(scene: Scene, media: str) -> bytes:
    """Write a picture as PNG or SVG."""
    return render_png(scene) if media == PNG else render_svg(scene)


def _loss(session: Session, job: Job) -> Scene:
    history = repository.history(session, job)
    recorded = {
        name: series.tolist()
        for name, series in history.columns.items()
        if name in {"train_loss", "dev_loss"}
    }
    series = {
        name: values
        for name, values in recorded.items()
        if name == "train_loss" or not all(map(math.isnan, values))
    }
    return loss_figure(history.epochs.tolist(), series, title=f"Loss of {job.name or job.id}")


def _fit(session: Session, job: Job) -> Scene:
    from service.inference.predictor import Predictor
    from service.training.data import load

    spec = JobSpec.model_validate_json(repository.spec_text(session, [job.seq])[job.seq])
    if len(spec.data.feature_names) != 1:
        message = f"The job has {len(spec.data.feature_names)} features: a line can be drawn over one."
        raise PictureNotAvailable(message, hint="The loss picture is there for every job.")
    predictor = Predictor(spec, service.parameters_of(session, job).data)
    table = load(spec.data)
    # More points than a picture can show are left out evenly, before they become Python's numbers.
    step = max(1, len(table) // MAX_POINTS)
    x, y = table.features[::step, 0], table.target[::step, 0]
    ends = [float(x.min()), float(x.max())]
    return fit_figure(
        x.tolist(),
        y.tolist(),
        ends,
        predictor.predict({predictor.feature_names[0]: ends}),
        x_label=predictor.feature_names[0],
        y_label=predictor.target_name,
        title=f"Fit of {job.name or job.id}",
        subtitle=_equation(job, predictor.feature_names[0], predictor.target_name),
    )


def _equation(job: Job, feature: str, target: str) -> str | None:
    if not job.result or job.result.get("intercept") is None:
        return None
    slope, intercept = job.result["coefficients"][feature], job.result["intercept"]
    return f"{target} = {slope:.4g}·{feature} {'+' if intercept >= 0 else '-'} {abs(intercept):.4g}"
