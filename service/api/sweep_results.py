"""What a sweep leaves: the table of its trials, and pictures."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from service.api import pictures, sweep_pictures
from service.api.context import Accept, Owner, Running
from service.api.negotiation import ARROW, CSV, JSON, PNG, SVG, negotiate
from service.api.pages import listed
from service.api.problems import documented
from service.api.sweep_schemas import TrialList
from service.api.sweep_tables import as_arrow, as_csv
from service.api.sweep_views import trial_view
from service.sweeps import repository, service
from service.sweeps.spec import SweepSpec

__all__ = ["router"]

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"])


class Order(StrEnum):
    """How the table is sorted."""

    NUMBER = "number"
    """As they were added."""
    OBJECTIVE = "objective"
    """The best first; those without a value of the objective last."""


@router.get(
    "/{sweep_id}/trials",
    operation_id="list_trials",
    summary="Get the table of trials",
    responses={
        200: {
            "model": TrialList,
            "content": {
                CSV: {"schema": {"type": "string"}},
                ARROW: {"schema": {"type": "string", "format": "binary"}},
            },
            "description": "A row for each trial.",
        },
        **documented(401, 404, 406, 422),
    },
)
def trials(
    running: Running,
    owner: Owner,
    sweep_id: str,
    *,
    sort: Annotated[
        Order, Query(description="By the number of the trial, or the best first.")
    ] = Order.NUMBER,
    accept: Accept = None,
) -> Response:
    """Give every trial with its values and what it has come to; as JSON, CSV or an Arrow stream."""
    media = negotiate(accept, (JSON, CSV, ARROW))
    with running.database.read() as session:
        sweep = service.get(session, sweep_id, owner=owner)
        spec = SweepSpec.model_validate_json(sweep.spec)
        found = [trial_view(spec, row) for row in repository.trials(session, sweep, spec.objective)]
    if sort is Order.OBJECTIVE:
        sign = 1 if spec.objective.mode == "min" else -1
        found.sort(key=lambda one: _rank(one["objective"], sign))
    if media == JSON:
        return listed(found, has_more=False)
    write: Any = as_csv if media == CSV else as_arrow
    return Response(write(found, list(spec.parameters)), media_type=media)


def _rank(objective: float | None, sign: int) -> tuple[bool, float]:
    return objective is None, sign * (objective or 0.0)


@router.get(
    "/{sweep_id}/plots/{plot}",
    operation_id="get_sweep_plot",
    summary="Get a picture of a sweep",
    response_class=Response,
    responses={
        200: {
            "content": {
                SVG: {"schema": {"type": "string"}},
                PNG: {"schema": {"type": "string", "format": "binary"}},
            },
            "description": "The picture.",
        },
        **documented(401, 404, 406, 422),
    },
)
def plot(
    running: Running, owner: Owner, sweep_id: str, plot: sweep_pictures.SweepPlot, accept: Accept = None
) -> Response:
    """Draw a picture of all trials; SVG unless Accept prefers PNG."""
    media = negotiate(accept, (SVG, PNG))
    with running.database.read() as session:
        scene = sweep_pictures.draw(session, service.get(session, sweep_id, owner=owner), plot)
    return Response(pictures.render(scene, media), media_type=media)
