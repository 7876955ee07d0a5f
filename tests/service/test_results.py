"""History, events, parameters, pictures and predictions over HTTP."""

import csv
import io
import json
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import PIL.Image
import pyarrow as pa
import pyarrow.ipc
import pytest
import safetensors.torch
import torch

from tests.conftest import TUTORIAL, Service


@pytest.fixture(scope="module")
def job(service: Service) -> dict[str, Any]:
    """The tutorial's job, finished."""
    return service.submit({**TUTORIAL, "name": "Gerade <ü> & Ω"})


def small_job(columns: dict[str, Any], **sections: Any) -> dict[str, Any]:  # noqa: ANN401 - sections of any kind
    data = {"type": "inline", "columns": columns, **sections.pop("data", {"target": "y"})}
    usual = {
        "model": {"type": "linear"},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD", "lr": 0.01},
    }
    return {"data": data, **usual, "training": {"epochs": 2, "seed": 0}, **sections}


def columns(service: Service, job: dict[str, Any], query: str = "") -> dict[str, list[Any]]:
    answer = service.client.get(f"/v1/jobs/{job['id']}/history{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, list[Any]] = answer.json()["columns"]
    return found


def test_history_by_range_and_step(service: Service, job: dict[str, Any]) -> None:
    whole = columns(service, job)
    assert len(whole["epoch"]) == 3000
    part = columns(service, job, "?from=11&to=20")
    assert part["epoch"] == list(range(11, 21))
    assert part["train_loss"] == whole["train_loss"][10:20]
    assert columns(service, job, "?every=100")["epoch"] == list(range(100, 3001, 100))


def test_history_thinned_keeps_first_and_last(service: Service, job: dict[str, Any]) -> None:
    thinned = columns(service, job, "?max_points=7")["epoch"]
    assert len(thinned) == 7
    assert (thinned[0], thinned[-1]) == (1, 3000)
    assert thinned == sorted(set(thinned))
    assert columns(service, job, "?max_points=100000")["epoch"] == list(range(1, 3001))


def test_history_outside_the_range_is_empty(service: Service, job: dict[str, Any]) -> None:
    for query in ("?from=5000", "?from=20&to=10", f"?from={2**70}"):
        answer = service.client.get(f"/v1/jobs/{job['id']}/history{query}")
        assert answer.status_code in {200, 422}
        if answer.status_code == 200:
            assert answer.json()["columns"] == {
                "epoch": [],
                "train_loss": [],
                "dev_loss": [],
                "learning_rate": [],
            }


def test_history_as_csv(service: Service, job: dict[str, Any]) -> None:
    answer = service.client.get(f"/v1/jobs/{job['id']}/history?every=1000", headers={"Accept": "text/csv"})
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    whole = columns(service, job)["train_loss"]
    assert [int(row["epoch"]) for row in rows] == [1000, 2000, 3000]
    assert [float(row["train_loss"]) for row in rows] == [whole[999], whole[1999], whole[2999]]
    assert {row["dev_loss"] for row in rows} == {""}


def test_history_as_arrow(service: Service, job: dict[str, Any]) -> None:
    headers = {"Accept": "application/vnd.apache.arrow.stream"}
    answer = service.client.get(f"/v1/jobs/{job['id']}/history?every=1000", headers=headers)
    assert answer.headers["Content-Type"] == headers["Accept"]
    table = pa.ipc.open_stream(answer.content).read_all()
    whole = columns(service, job)["train_loss"]
    assert table.column_names == ["epoch", "train_loss", "dev_loss", "learning_rate"]
    assert table["epoch"].to_pylist() == [1000, 2000, 3000]
    assert table["train_loss"].to_pylist() == [whole[999], whole[1999], whole[2999]]
    assert table["dev_loss"].to_pylist() == [None] * 3


@pytest.mark.parametrize("query", ["from=0", "to=x", "every=0", "max_points=1", "every=2&max_points=5"])
def test_history_refuses_what_it_does_not_understand(
    service: Service, job: dict[str, Any], query: str
) -> None:
    answer = service.client.get(f"/v1/jobs/{job['id']}/history?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] in query


@pytest.mark.parametrize("path", ["history", "parameters", "plots/loss"])
def test_media_types_that_cannot_be_given(service: Service, job: dict[str, Any], path: str) -> None:
    answer = service.client.get(f"/v1/jobs/{job['id']}/{path}", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
    assert "Accept" in answer.json()["hint"]


def read_events(lines: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Parse a stream as a browser does: fields line by line, a message at each empty line."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            data = json.loads(fields["data"])
            assert fields["event"] == data["type"]
            yield int(fields["id"]), data
            fields = {}


def follow(service: Service, job_id: str, last: int | None = None) -> list[tuple[int, dict[str, Any]]]:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with service.client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as stream:
        assert stream.status_code == 200
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        return list(read_events(stream.iter_lines()))


def test_events_tell_the_whole_life_and_end(service: Service, tutorial: dict[str, Any]) -> None:
    job = service.submit(tutorial, wait=0)
    events = [event for _, event in follow(service, job["id"])]
    states = [event["status"] for event in events if event["type"] == "status"]
    assert states == ["queued", "running", "succeeded"]
    assert [event["terminal"] for event in events if event["type"] == "status"] == [False, False, True]
    epochs = [epoch for event in events if event["type"] == "history" for epoch in event["columns"]["epoch"]]
    assert epochs == list(range(1, 3001))
    losses = [
        loss for event in events if event["type"] == "history" for loss in event["columns"]["train_loss"]
    ]
    assert losses == columns(service, job)["train_loss"]


def test_events_resume_after_any_of_them_without_gap_or_repeat(service: Service, job: dict[str, Any]) -> None:
    whole = follow(service, job["id"])
    for position, (last, _) in enumerate(whole[:-1]):
        assert follow(service, job["id"], last) == whole[position + 1 :]
    seen = service.client.get(f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": str(whole[-1][0])})
    assert (seen.status_code, seen.content) == (204, b"")


def test_two_followers_and_one_that_goes_away(service: Service, tutorial: dict[str, Any]) -> None:
    job = service.submit(tutorial, wait=0)
    with service.client.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
        next(stream.iter_lines())  # And leaves.
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(follow(service, job["id"]))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found[0] == found[1]
    assert found[0][-1][1]["status"] == "succeeded"


def test_events_arrive_while_the_job_runs(service: Service, tutorial: dict[str, Any]) -> None:
    tutorial["training"] |= {"epochs": 1_000_000, "engine": "eager"}
    job = service.submit(tutorial, wait=0)
    with service.client.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
        for _, event in read_events(stream.iter_lines()):
            if event["type"] == "history":
                service.client.post(f"/v1/jobs/{job['id']}/cancel")
                break
    assert service.job(job["id"], wait=10)["status"] == "cancelled"


def test_parameters_as_safetensors(service: Service, job: dict[str, Any]) -> None:
    accept = {"Accept": "application/vnd.safetensors"}
    answer = service.client.get(f"/v1/jobs/{job['id']}/parameters", headers=accept)
    assert answer.headers["Content-Type"] == "application/vnd.safetensors"
    model = torch.nn.Linear(1, 1)
    model.load_state_dict(safetensors.torch.load(answer.content))
    assert model.weight.item() == job["result"]["coefficients"]["x"]
    assert model.bias.item() == job["result"]["intercept"]


def test_parameters_of_a_job_that_runs_are_refused_with_the_reason(
    service: Service, tutorial: dict[str, Any]
) -> None:
    tutorial["training"] |= {"epochs": 1_000_000, "engine": "eager"}
    running = service.submit(tutorial, wait=0)
    answer = service.client.get(f"/v1/jobs/{running['id']}/parameters")
    assert answer.status_code == 409
    assert "wait" in answer.json()["hint"]
    service.client.post(f"/v1/jobs/{running['id']}/cancel")
    service.job(running["id"], wait=10)


@pytest.mark.parametrize("plot", ["loss", "fit"])
def test_pictures_as_svg_and_png(service: Service, job: dict[str, Any], plot: str) -> None:
    svg = service.client.get(f"/v1/jobs/{job['id']}/plots/{plot}")
    assert svg.headers["Content-Type"].startswith("image/svg+xml")
    assert ET.fromstring(svg.content).tag.endswith("svg")  # noqa: S314 - as above
    assert "Gerade &lt;ü&gt; &amp; Ω" in svg.text
    png = service.client.get(f"/v1/jobs/{job['id']}/plots/{plot}", headers={"Accept": "image/png, */*;q=0.1"})
    assert png.headers["Content-Type"] == "image/png"
    image = PIL.Image.open(io.BytesIO(png.content))
    assert image.width > 600
    assert len(image.convert("RGB").getcolors(2**24) or []) > 10


def test_pictures_that_cannot_be_drawn(
    service: Service, job: dict[str, Any], tutorial: dict[str, Any]
) -> None:
    unknown = service.client.get(f"/v1/jobs/{job['id']}/plots/lss")
    assert unknown.status_code == 422
    tutorial["data"]["features"]["z"] = {"distribution": "normal"}
    two = service.submit(tutorial)
    refused = service.client.get(f"/v1/jobs/{two['id']}/plots/fit")
    assert (refused.status_code, refused.json()["code"]) == (404, "picture_not_available")
    assert service.client.get(f"/v1/jobs/{two['id']}/plots/loss").status_code == 200


THREE = {"a": [0.1, 0.9], "b": [0.2, 0.8], "c": [0.9, 0.1]}
WITHOUT_NUMBERS_OR_CLASSES = {
    "distributions": small_job(
        {"x": [0.0, 1.0], "p": [0.25, 0.5], "q": [0.75, 0.5]},
        data={"target": ["p", "q"]},
        model={"type": "linear", "output_activation": {"type": "LogSoftmax", "dim": 1}},
        loss={"type": "KLDivLoss"},
    ),
    "triplets": small_job(
        THREE,
        data={"inputs": {"anchor": ["a"], "positive": ["b"], "negative": ["c"]}},
        model={"type": "linear", "outputs": 2},
        loss={"type": "TripletMarginLoss"},
    ),
}


@pytest.mark.parametrize("spec", WITHOUT_NUMBERS_OR_CLASSES.values(), ids=WITHOUT_NUMBERS_OR_CLASSES)
def test_a_refused_picture_names_those_that_are_there(service: Service, spec: dict[str, Any]) -> None:
    path = f"/v1/jobs/{service.submit(spec)['id']}/plots"
    for plot in ("fit", "predicted", "residuals", "residual_histogram", "confusion", "boundary"):
        answer = service.client.get(f"{path}/{plot}")
        assert (answer.status_code, answer.json()["code"]) == (404, "picture_not_available")
        assert answer.json()["hint"] == "Of this job there are the pictures loss, learning_rate and weights."
    assert all(
        service.client.get(f"{path}/{plot}").status_code == 200 for plot in ("learning_rate", "weights")
    )


def test_the_weights_are_drawn_without_the_rows(service: Service) -> None:
    table = b"x,y\n1,2\n2,4\n3,7\n"
    headers = {"Content-Type": "text/csv"}
    stored = service.client.post("/v1/datasets", content=table, headers=headers).json()
    spec = small_job({})
    spec["data"] = {"type": "dataset", "id": stored["id"], "target": "y"}
    path = f"/v1/jobs/{service.submit(spec)['id']}/plots"
    assert service.client.delete(f"/v1/datasets/{stored['id']}").status_code == 204
    assert service.client.get(f"{path}/predicted").status_code == 404
    assert service.client.get(f"{path}/weights").status_code == 200


def test_predict_columns_and_rows(service: Service, job: dict[str, Any]) -> None:
    slope, intercept = job["result"]["coefficients"]["x"], job["result"]["intercept"]
    answer = service.client.post(f"/v1/jobs/{job['id']}/predict", json={"columns": {"x": [0, 0.5, 2]}})
    assert answer.status_code == 200
    assert answer.json()["columns"]["y"] == pytest.approx(
        [intercept, intercept + slope / 2, intercept + 2 * slope]
    )
    rows = service.client.post(f"/v1/jobs/{job['id']}/predict", json={"rows": [{"x": 0.5}]}).json()["rows"]
    assert rows == [{"y": answer.json()["columns"]["y"][1]}]


def test_no_rows_are_answered_with_none(service: Service, job: dict[str, Any]) -> None:
    empty = service.client.post(f"/v1/jobs/{job['id']}/predict", json={"columns": {"x": []}})
    assert (empty.status_code, empty.json()["columns"]) == (200, {"y": []})
    empty = service.client.post(f"/v1/jobs/{job['id']}/predict", json={"rows": []})
    assert (empty.status_code, empty.json().get("rows")) == (200, [])


def test_an_image_that_does_not_fit_is_told_in_its_row(service: Service) -> None:
    image = [[1.0, 2.0], [3.0, 4.0]]
    spec = small_job({"i": [image, [[0.0, 1.0], [1.0, 5.0]]], "y": [1.0, 2.0]})
    path = f"/v1/jobs/{service.submit(spec)['id']}/predict"
    for bad, code in (([[1.0]], "wrong_shape"), (None, "missing_values"), ("1", "wrong_type")):
        answer = service.client.post(path, json={"rows": [{"i": image}, {"i": bad}, {"i": image}]})
        assert answer.status_code == 422
        assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [("/rows/1/i", code)]


def test_a_code_without_a_row_in_the_embedding_is_told_in_its_row(service: Service) -> None:
    layers = [
        {"type": "Embedding", "num_embeddings": 5, "embedding_dim": 2},
        {"type": "Flatten"},
        {"type": "Linear"},
    ]
    spec = small_job(
        {"s": [[0, 1, 2], [3, 4, 0], [1, 1, 1]], "y": [1.0, 2.0, 3.0]},
        model={"type": "sequential", "layers": layers},
    )
    path = f"/v1/jobs/{service.submit(spec)['id']}/predict"
    for bad in (99, -1, 1.7):
        answer = service.client.post(path, json={"columns": {"s": [[0, 1, 2], [1, 2, bad]]}})
        assert answer.status_code == 422
        (problem,) = answer.json()["errors"]
        assert (problem["pointer"], problem["code"]) == ("/columns/s/1", "out_of_range")
        assert "0 to 4" in problem["hint"]
    assert service.client.post(path, json={"columns": {"s": [[0, 1, 4]]}}).status_code == 200


def test_a_target_called_probabilities_keeps_its_name(service: Service) -> None:
    columns = {"x": [-2.0, -1.0, 1.0, 2.0], "probabilities": [0, 0, 1, 1]}
    loss, model = {"type": "BCEWithLogitsLoss"}, {"type": "logistic"}
    spec = small_job(columns, data={"target": "probabilities"}, loss=loss, model=model)
    path = f"/v1/jobs/{service.submit(spec)['id']}/predict"
    (row,) = service.client.post(path, json={"rows": [{"x": 1.5}]}).json()["rows"]
    assert row["probabilities"] in {0, 1}
    assert row["probabilities (2)"].keys() == {"0", "1"}


def test_a_class_is_spelt_alike_in_result_coefficients_and_probabilities(service: Service) -> None:
    spec = small_job(
        {"x": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "y": [0, 0, 1, 1, 2.5, 2.5]},
        model={"type": "softmax"},
        loss={"type": "CrossEntropyLoss"},
    )
    done = service.submit(spec)
    assert json.dumps(done["result"]["classes"]) == "[0, 1, 2.5]"
    assert list(done["result"]["coefficients"]) == ["0", "1", "2.5"]
    told = service.client.get(f"/v1/jobs/{done['id']}/parameters").json()
    assert list(told["intercept"]) == ["0", "1", "2.5"]
    answer = service.client.post(f"/v1/jobs/{done['id']}/predict", json={"columns": {"x": [1.0]}}).json()
    assert list(answer["probabilities"]) == ["0", "1", "2.5"]
    assert json.dumps(answer["columns"]["y"][0]) in {"0", "1", "2.5"}


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "", "missing"),
        ({"columns": {"x": [1]}, "rows": [{"x": 1}]}, "", "missing"),
        ({"columns": {}}, "/columns", "missing"),
        ({"columns": {"X": [1]}}, "/columns/X", "unknown_column"),
        ({"columns": {"x": ["1"]}}, "/columns/x/0", "wrong_type"),
        ({"columns": {"x": 1}}, "/columns/x", "wrong_type"),
        ({"column": {"x": [1]}}, "/column", "unknown_field"),
        ({"rows": [{"x": 1}, {}]}, "/rows/1", "ragged_rows"),
        ({"rows": [{"x": None}]}, "/rows/0/x", "missing_values"),
    ],
)
def test_predict_refuses_rows_that_do_not_fit(
    service: Service, job: dict[str, Any], body: dict[str, Any], pointer: str, code: str
) -> None:
    answer = service.client.post(f"/v1/jobs/{job['id']}/predict", json=body)
    assert answer.status_code == 422
    assert (pointer, code) in [(one["pointer"], one["code"]) for one in answer.json()["errors"]]


def test_a_million_predictions(service: Service, job: dict[str, Any]) -> None:
    body = {"columns": {"x": [i / 1e6 for i in range(1_000_000)]}}
    answer = service.client.post(f"/v1/jobs/{job['id']}/predict", json=body)
    assert len(answer.json()["columns"]["y"]) == 1_000_000


def test_capabilities_describe_every_name(service: Service) -> None:
    told = service.client.get("/v1/capabilities").json()
    names = {kind: {one["name"] for one in told[kind]} for kind in ("models", "losses", "optimizers", "data")}
    assert names["models"] >= {"linear", "polynomial", "logistic", "softmax", "mlp", "cnn", "sequential"}
    assert names["losses"] >= {"MSELoss", "CrossEntropyLoss", "CTCLoss"}
    assert names["optimizers"] >= {"SGD", "RMSprop", "Adam", "AdamW", "LBFGS"}
    assert names["data"] == {"synthetic", "inline", "dataset"}
    sgd = next(one for one in told["optimizers"] if one["name"] == "SGD")
    assert sgd["schema"]["properties"]["lr"]["default"] == 1e-3
    assert "cpu" in told["devices"]
    assert told["limits"]["max_epochs"] == 1_000_000


def test_health_and_readiness(service: Service) -> None:
    assert service.client.get("/healthz").json() == {"status": "ok"}
    assert service.client.get("/readyz").json() == {
        "ready": True,
        "checks": {"database": "ok", "workers": "ok"},
    }


def test_docs_need_no_other_server(service: Service) -> None:
    for path in ("/docs", "/redoc"):
        page = service.client.get(path)
        assert page.status_code == 200
        assert "http://" not in page.text.replace(service.url, "")
        assert "https://" not in page.text
    script = service.client.get("/static-offline-docs/swagger-ui-bundle.js")
    assert script.status_code == 200
    assert len(script.content) > 100_000


def test_time_passes_only_forward(service: Service, job: dict[str, Any]) -> None:
    assert job["created_at"].endswith("Z")
    assert time.strptime(job["created_at"][:19], "%Y-%m-%dT%H:%M:%S")


def test_metrics_for_prometheus(service: Service, job: dict[str, Any]) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    service.client.get(f"/v1/jobs/{job['id']}")
    text = service.client.get("/metrics").text
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["fitd_jobs", "succeeded"] >= 1
    assert found["fitd_http_requests_total", "/v1/jobs/{job_id}", "200", "GET"] >= 1
    assert sum(value for (name, *labels), value in found.items() if name == "fitd_worker_slots") == 2
    assert job["id"] not in text
