"""Fits and tables for batch predictions, and what is asked of the live service."""

import io
import time
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq

from tests.conftest import Service

CSV = {"Content-Type": "text/csv"}
PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"

LINE: dict[str, Any] = {
    "data": {"type": "inline", "columns": {"x": [0.0, 1.0, 2.0, 3.0], "y": [7.0, 12.0, 17.0, 22.0]}, "target": "y"},
    "model": {"type": "mlp", "hidden": [5]},
    "loss": {"type": "MSELoss"},
    "optimizer": {"type": "Adam", "lr": 0.05},
    "training": {"epochs": 5, "seed": 0},
}  # fmt: skip
TOWNS: dict[str, Any] = {
    **LINE,
    "data": {
        "type": "inline",
        "columns": {
            "größe": [50, 60, 70, 80],
            "Stadt": ["Zürich", "Łódź", "Zürich", "Łódź"],
            "класс": ["sí", "não", "sí", "não"],
        },
        "target": "класс",
    },
    "model": {"type": "softmax"},
    "loss": {"type": "CrossEntropyLoss"},
}


def uploaded(service: Service, text: str, **parameters: str) -> str:
    answer = service.client.post(
        "/v1/datasets", content=text.encode(), headers=CSV, params=parameters, timeout=60
    )
    assert answer.status_code in {200, 201}, answer.text
    return str(answer.json()["id"])


def numbers(rows: int, *, start: int = 0) -> str:
    """A table with an id and a number in each row."""
    return "id,x\n" + "".join(f"{start + row},{(start + row) % 97 / 7}\n" for row in range(rows))


def order(job_id: str, dataset_id: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"job": job_id, "data": {"type": "dataset", "id": dataset_id}, **more}


def predicted(service: Service, body: dict[str, Any], *, wait: int = 60, **headers: str) -> dict[str, Any]:
    prefer = {"Prefer": f"wait={wait}"} if wait else {}
    answer = service.client.post("/v1/predictions", json=body, headers={**prefer, **headers}, timeout=90)
    assert answer.status_code in {200, 202}, answer.text
    assert answer.headers["Location"] == answer.json()["links"]["self"]
    found: dict[str, Any] = answer.json()
    # A machine with much to do takes longer than a request may wait: torch is loaded anew after each kill.
    return wait_for(service, found, lambda now: bool(now["terminal"])) if wait else found


def wait_for(
    service: Service, found: dict[str, Any], condition: Callable[[dict[str, Any]], bool], seconds: float = 100
) -> dict[str, Any]:
    """Poll a prediction until a condition holds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        now: dict[str, Any] = service.client.get(found["links"]["self"]).json()
        if condition(now):
            return now
        time.sleep(0.05)
    raise AssertionError(f"never happened: {now}\n{service.log}")


def table(service: Service, found: dict[str, Any]) -> Any:  # noqa: ANN401 - Arrow
    """The whole result, by its Parquet file."""
    answer = service.client.get(found["links"]["result"], headers={"Accept": PARQUET})
    assert answer.status_code == 200, answer.text
    return pq.read_table(io.BytesIO(answer.content))
