"""A live service with one of everything that the operations of the contract are about."""

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

from tests.conftest import TUTORIAL, Service

Paths = dict[str, str]
Json = Any
"""Whatever JSON can say."""

SHORT = {**TUTORIAL, "training": {"epochs": 40, "batch_size": "full", "seed": 0}}
CALIBRATION = "calibration"
"""The model that the examples speak of."""
SETTINGS = {"FITD_SLOTS": "2", "FITD_SCORING_MODEL": CALIBRATION}
"""With these the service is started."""
LONG = {
    **TUTORIAL,
    "model": {"type": "mlp", "hidden": [16]},
    "training": {"epochs": 1_000_000, "batch_size": 16, "seed": 0},
}
LASTING_ROWS = 300_000
"""So many take longer to predict than a request takes."""
GROUPS = {
    "data": {
        "type": "inline",
        "columns": {"x": [0, 1, 2, 0, 1, 2], "y": [1, 3, 5, 2, 1, 0], "sensor": ["a"] * 3 + ["b"] * 3},
        "target": "y",
        "group_by": "sensor",
    },
    "model": {"type": "linear"},
    "loss": {"type": "MSELoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
    "training": {"epochs": 20, "seed": 0},
}


class World:
    """Makes what a call needs, in the state in which the call is right, when it is first asked for."""

    def __init__(self, service: Service) -> None:
        self.service = service

    @cached_property
    def finished(self) -> str:
        """A job that has ended, with a model of one number `x`."""
        return self._job(SHORT)

    @cached_property
    def grouped(self) -> str:
        """A job with a model for each group."""
        return self._job(GROUPS)

    @cached_property
    def paused(self) -> str:
        """A job that stands still at a checkpoint."""
        job = self._running()
        self._post(f"/v1/jobs/{job}/pause")
        self.service.wait_for(job, lambda one: one["status"] == "paused")
        return job

    @cached_property
    def sweep(self) -> str:
        """A sweep that has ended."""
        return self._sweep(SHORT, wait=60)

    @cached_property
    def dataset(self) -> str:
        """A small table with the columns `id`, `x` and `y`."""
        return self._dataset(b"id,x,y\n1,0,1\n2,0.5,2\n3,1,3\n")

    @cached_property
    def model(self) -> str:
        """A model with two versions: its champion, and one that is tried out."""
        self._model(CALIBRATION, ["champion"])
        return self._model(CALIBRATION, ["canary"], job=self._job(SHORT))

    @cached_property
    def prediction(self) -> str:
        """A prediction of a whole dataset that has ended."""
        return self._prediction(wait=60)

    def paths(self, operation_id: str, names: list[str]) -> Paths:
        """Give the parameters of a path for a call that is right."""
        if make := _STATES.get(operation_id):
            return make(self)
        return {name: _NAMED[name](self) for name in names if name in _NAMED}

    def mentioned(self, example: Json) -> Json:
        """Put ids that exist where an example mentions one, and see that the models exist that it names."""
        if isinstance(example, dict):
            return {key: self.mentioned(value) for key, value in example.items()}
        if isinstance(example, list):
            return [self.mentioned(value) for value in example]
        if example == CALIBRATION:
            return self.model
        if isinstance(example, str) and (found := re.fullmatch(r"(job|ds|sweep|pred)_[a-z2-7]{24}", example)):
            return _IDS[found[1]](self)
        return example

    def settle(self) -> None:
        """End what still trains, so that the next call need not wait for it."""
        client = self.service.client
        for kind in ("sweeps", "jobs"):
            for one in client.get(f"/v1/{kind}", params={"limit": 50}).json()["data"]:
                if not one["terminal"] and one["status"] != "paused":
                    client.post(f"{one['links']['self']}/cancel")

    def _job(self, spec: dict[str, Any], *, wait: float = 60) -> str:
        job = self.service.submit(spec, wait=wait)
        assert job["terminal"] or not wait, job
        return str(job["id"])

    def _running(self) -> str:
        job = self._job(LONG, wait=0)
        self.service.wait_for(job, lambda one: one["progress"]["epoch"] > 0, seconds=60)
        return job

    def _sweep(self, spec: dict[str, Any], *, wait: int = 0) -> str:
        body = {
            "spec": {**spec, "evaluation": {"split": {"type": "random", "dev": 0.25}}},
            "parameters": {"/optimizer/lr": {"type": "choice", "values": [0.01, 0.1]}},
            "search": {"type": "grid"},
        }
        return str(self._post("/v1/sweeps", json=body, headers={"Prefer": f"wait={wait}"})["id"])

    def _dataset(self, rows: bytes) -> str:
        return str(self._post("/v1/datasets", content=rows, headers={"Content-Type": "text/csv"})["id"])

    def _model(self, name: str, aliases: list[str], *, job: str | None = None) -> str:
        body = {"name": name, "job": job or self.finished, "aliases": aliases}
        return str(self._post("/v1/models", json=body)["name"])

    def _prediction(self, *, dataset: str | None = None, wait: int = 0) -> str:
        body = {"job": self.finished, "data": {"type": "dataset", "id": dataset or self.dataset}}
        return str(self._post("/v1/predictions", json=body, headers={"Prefer": f"wait={wait}"})["id"])

    def _lasting_prediction(self) -> str:
        rows = "".join(f"{row}\n" for row in range(LASTING_ROWS))
        return self._prediction(dataset=self._dataset(f"x\n{rows}".encode()))

    def _paused_sweep(self) -> str:
        sweep = self._sweep(LONG)
        self._post(f"/v1/sweeps/{sweep}/pause")
        return sweep

    def _post(self, path: str, **request: Json) -> dict[str, Any]:
        answer = self.service.client.post(path, **request, timeout=90)
        assert answer.status_code < 300, answer.text
        made: dict[str, Any] = answer.json()
        return made


_NAMED: dict[str, Callable[[World], str]] = {
    "job_id": lambda world: world.finished,
    "sweep_id": lambda world: world.sweep,
    "dataset_id": lambda world: world.dataset,
    "prediction_id": lambda world: world.prediction,
    "name": lambda world: world.model,
    "version": lambda world: "1" if world.model else "",
    "alias": lambda world: "champion" if world.model else "",
    "number": lambda _: "1",
}
"""What a parameter of a path is, where any will do. Others, such as choices, are sent as their example shows."""

_IDS: dict[str, Callable[[World], str]] = {
    "job": lambda world: world.finished,
    "ds": lambda world: world.dataset,
    "sweep": lambda world: world.sweep,
    "pred": lambda world: world.prediction,
}

_STATES: dict[str, Callable[[World], Paths]] = {
    "cancel_job": lambda world: {"job_id": world._running()},
    "pause_job": lambda world: {"job_id": world._running()},
    "resume_job": lambda world: {"job_id": world.paused},
    "delete_job": lambda world: {"job_id": world._job(SHORT)},
    "get_groups": lambda world: {"job_id": world.grouped},
    "list_checkpoints": lambda world: {"job_id": world.paused},
    "get_checkpoint": lambda world: {"job_id": world.paused, "number": "1"},
    "cancel_sweep": lambda world: {"sweep_id": world._sweep(LONG)},
    "pause_sweep": lambda world: {"sweep_id": world._sweep(LONG)},
    "resume_sweep": lambda world: {"sweep_id": world._paused_sweep()},
    "delete_sweep": lambda world: {"sweep_id": world._sweep(SHORT, wait=60)},
    "delete_dataset": lambda world: {"dataset_id": world._dataset(b"a,b\n1,2\n3,4\n")},
    "delete_model": lambda world: {"name": world._model("unused", [])},
    "delete_model_version": lambda world: {"name": world._model("unused", []), "version": "1"},
    "delete_model_alias": lambda world: {"name": world._model("aliased", ["old"]), "alias": "old"},
    "cancel_prediction": lambda world: {"prediction_id": world._lasting_prediction()},
    "delete_prediction": lambda world: {"prediction_id": world._prediction(wait=60)},
    # These speak of the model that the settings name.
    "score": lambda world: {"name": world.model},
    "scoring_ping": lambda world: {"name": world.model},
    "scoring_health": lambda world: {"name": world.model},
}
"""The state in which a call is right, where not any will do."""
