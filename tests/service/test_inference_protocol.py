"""The Open Inference Protocol as NVIDIA's own client speaks it, unmodified, with the live service."""

import asyncio
import json
from typing import Any

import numpy as np
import pytest
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

from tests.conftest import TUTORIAL, Service
from tests.service.test_models import name_of_its_own, register
from tests.serving.models import CLASSES_JOB

Client = tritonclient.http.InferenceServerClient
Input, Wanted = tritonclient.http.InferInput, tritonclient.http.InferRequestedOutput
X = np.linspace(0, 1, 5)


@pytest.fixture(scope="module")
def triton(service: Service) -> Any:  # noqa: ANN401 - the client brings no types
    with Client(service.url.removeprefix("http://"), concurrency=4) as client:
        yield client


@pytest.fixture(scope="module")
def line(service: Service) -> str:
    return service.submit({**TUTORIAL, "training": {"epochs": 30, "seed": 0}})["id"]


@pytest.fixture(scope="module")
def classes(service: Service) -> str:
    return service.submit(CLASSES_JOB)["id"]


@pytest.fixture(scope="module")
def expected(service: Service, line: str) -> list[float]:
    answer = service.client.post(f"/v1/jobs/{line}/predict", json={"columns": {"x": X.tolist()}})
    found: list[float] = answer.json()["columns"]["y"]
    return found


def given(name: str, values: np.ndarray, datatype: str, *, binary: bool = True) -> Any:  # noqa: ANN401
    one = Input(name, list(values.shape), datatype)
    return one.set_data_from_numpy(values, binary_data=binary)


def test_server_and_models_tell_of_themselves(triton: Any, line: str, classes: str) -> None:  # noqa: ANN401
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready(line)
    assert triton.is_model_ready(line, "1")
    assert not triton.is_model_ready("nobody")
    server = triton.get_server_metadata()
    assert (server["name"], server["extensions"]) == ("fitd", ["binary_tensor_data"])
    told = triton.get_model_metadata(line)
    assert (told["name"], told["versions"]) == (line, ["1"])
    assert told["inputs"] == [{"name": "x", "datatype": "FP64", "shape": [-1]}]
    assert told["outputs"] == [{"name": "y", "datatype": "FP64", "shape": [-1]}]
    told = triton.get_model_metadata(classes)
    assert {one["name"]: one["datatype"] for one in told["inputs"]} == {"x": "FP64", "color": "BYTES"}
    datatypes = {one["name"]: one["datatype"] for one in told["outputs"]}
    assert datatypes == {"big": "INT64", "probabilities.0": "FP64", "probabilities.1": "FP64"}


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_all_ways_give_what_predict_gives(
    triton: Any,  # noqa: ANN401
    line: str,
    expected: list[float],
    *,
    binary_in: bool,
    binary_out: bool,
) -> None:
    for one in (
        given("x", X, "FP64", binary=binary_in),
        given("x", X[:, np.newaxis], "FP64", binary=binary_in),
        given("input", X.astype(np.float32)[:, np.newaxis], "FP32", binary=binary_in),
    ):
        outputs = [Wanted("y", binary_data=binary_out)]
        found = triton.infer(line, [one], outputs=outputs, request_id="it's 7", model_version="1")
        assert found.as_numpy("y").tolist() == expected
        told = found.get_response()
        assert (told["model_name"], told["model_version"], told["id"]) == (line, "1", "it's 7")
    assert triton.infer(line, [given("x", X, "FP64")]).as_numpy("y").tolist() == expected


@pytest.mark.parametrize("sent", [None, "gzip", "deflate"])
@pytest.mark.parametrize("wanted", [None, "gzip", "deflate"])
def test_bodies_may_be_packed(
    triton: Any,  # noqa: ANN401
    line: str,
    expected: list[float],
    sent: str | None,
    wanted: str | None,
) -> None:
    many = np.tile(X, 60)
    found = triton.infer(
        line,
        [given("x", many, "FP64")],
        request_compression_algorithm=sent,
        response_compression_algorithm=wanted,
    )
    assert found.as_numpy("y").tolist() == expected * 60


def test_categories_and_gaps_come_as_texts_and_nan(service: Service, triton: Any, classes: str) -> None:  # noqa: ANN401
    colors = np.array(["red", "blue", "red"], dtype=object)
    x = np.array([0.0, 0.9, np.nan])
    rows = [{"x": 0.0, "color": "red"}, {"x": 0.9, "color": "blue"}]
    answer = service.client.post(f"/v1/jobs/{classes}/predict", json={"rows": rows}).json()["rows"]
    for binary in (True, False):
        inputs = [given("x", x[:2], "FP64"), given("color", colors[:2], "BYTES", binary=binary)]
        found = triton.infer(classes, inputs)
        assert found.as_numpy("big").tolist() == [row["big"] for row in answer]
        assert found.as_numpy("probabilities.1").tolist() == [row["probabilities"]["1"] for row in answer]
    with pytest.raises(InferenceServerException, match=r"\[422\] `x` has no value here"):
        triton.infer(classes, [given("x", x, "FP64"), given("color", colors, "BYTES")])
    green = np.array(["green"], dtype=object)
    with pytest.raises(InferenceServerException, match="`color` was never `green` in the training"):
        triton.infer(classes, [given("x", x[:1], "FP64"), given("color", green, "BYTES")])


def test_many_at_once_get_their_own_answers(triton: Any, line: str, expected: list[float]) -> None:  # noqa: ANN401
    asked = [triton.async_infer(line, [given("x", np.roll(X, place), "FP64")]) for place in range(12)]
    for place, one in enumerate(asked):
        assert one.get_result().as_numpy("y").tolist() == np.roll(expected, place).tolist()


def test_the_asynchronous_client_works_as_well(service: Service, line: str, expected: list[float]) -> None:
    async def story() -> list[float]:
        client = tritonclient.http.aio.InferenceServerClient(service.url.removeprefix("http://"))
        one = tritonclient.http.aio.InferInput("x", [5], "FP64")
        one.set_data_from_numpy(X)
        found = await client.infer(line, [one], request_compression_algorithm="gzip")
        await client.close()
        values: list[float] = found.as_numpy("y").tolist()
        return values

    assert asyncio.run(story()) == expected


def test_a_registered_model_has_its_versions(service: Service, triton: Any, line: str) -> None:  # noqa: ANN401
    other = service.submit({**TUTORIAL, "training": {"epochs": 60, "seed": 0}})["id"]
    name = name_of_its_own()
    register(service, name, line, aliases=["champion"])
    register(service, name, other)
    assert triton.get_model_metadata(name)["versions"] == ["2", "1"]

    def asked(version: str = "") -> tuple[str, list[float]]:
        found = triton.infer(name, [given("x", X, "FP64")], model_version=version)
        return found.get_response()["model_version"], found.as_numpy("y").tolist()

    assert asked() == asked("champion") == asked("1")
    assert asked("2") == asked("latest") != asked("1")
    service.client.put(f"/v1/models/{name}/aliases/champion", json={"version": 2})
    assert asked() == asked("2")


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"model_name": "job_nobody"}, "404", "There is no job `job_nobody`"),
        ({"model_name": "nobody"}, "404", "There is no model `nobody`"),
        ({"model_version": "2"}, "404", "has no version `2`"),
        ({"outputs": [Wanted("z")]}, "422", "The model has no output `z`"),
        ({"inputs": [given("z", X, "FP64")]}, "422", "2 problems"),
        ({"inputs": [given("x", X.reshape(1, 5), "FP64")]}, "422", "there is one value in each row"),
        ({"outputs": [Wanted("y", class_count=1)]}, "422", "`classification` is not followed here"),
        ({"headers": {"Content-Type": "text/csv"}}, "415", "declared as text/csv"),
        ({"headers": {"Content-Encoding": "br"}}, "415", "packed with br"),
        ({"headers": {"Content-Encoding": "gzip"}}, "422", "cannot be unpacked"),
    ],
)
def test_the_client_shows_what_is_wrong(
    triton: Any,  # noqa: ANN401
    line: str,
    change: dict[str, Any],
    status: str,
    said: str,
) -> None:
    with pytest.raises(InferenceServerException) as error:
        triton.infer(**{"model_name": line, "inputs": [given("x", X, "FP64")], **change})
    assert error.value.status() == status
    assert said in error.value.message()


def test_problems_say_what_others_say_and_the_protocols_error(service: Service, line: str) -> None:
    body = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": ["a"]}]}
    answer = service.client.post(f"/v2/models/{line}/infer", json=body)
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["errors"][0]["pointer"] == "/inputs/0/data/0"
    assert told["error"] == f"{told['detail']} {told['hint']}"
    for path in ("/v2/nowhere", "/v2/models/nobody"):
        answer = service.client.get(path)
        assert (answer.status_code, bool(answer.json()["error"])) == (404, True)
    assert "error" not in service.client.get("/v1/jobs/nobody").json()


def test_a_bomb_is_not_unpacked(service: Service, line: str) -> None:
    import gzip

    bomb = gzip.compress(bytes(64 * 2**20))
    answer = service.client.post(
        f"/v2/models/{line}/infer", content=bomb, headers={"Content-Encoding": "gzip"}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_job_that_has_not_ended_is_not_ready(service: Service, triton: Any) -> None:  # noqa: ANN401
    job = service.submit(
        {**TUTORIAL, "training": {"epochs": 1_000_000, "seed": 0, "engine": "eager"}}, wait=0
    )
    answer = service.client.get(f"/v2/models/{job['id']}/ready")
    assert answer.status_code in {200, 409}
    assert triton.is_model_ready(job["id"]) == (answer.status_code == 200)
    service.client.post(f"/v1/jobs/{job['id']}/cancel")


def test_without_any_client(service: Service, line: str, expected: list[float]) -> None:
    head = json.dumps(
        {
            "inputs": [
                {"name": "x", "datatype": "FP64", "shape": [5], "parameters": {"binary_data_size": 40}}
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    headers = {
        "Inference-Header-Content-Length": str(len(head)),
        "Content-Type": "application/octet-stream",
    }
    answer = service.client.post(f"/v2/models/{line}/infer", content=head + X.tobytes(), headers=headers)
    end = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.content[:end])["outputs"][0]["parameters"] == {"binary_data_size": 40}
    assert np.frombuffer(answer.content[end:]).tolist() == expected
