"""Small predictions take a short way: with the same answers, keys and counts, and at once after a change."""

import json
import secrets
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from service.app import create_app
from service.settings import Settings
from tests.access.keyed import bearer, new_key
from tests.conftest import TUTORIAL, Service
from tests.service.test_models import name_of_its_own, register
from tests.serving.models import CLASSES_JOB

SHORT: dict[str, Any] = {**TUTORIAL, "training": {"epochs": 30, "seed": 0}}
KEY = "the-key-of-the-environment"
ORDINARY = {"Accept": "application/json, text/plain;q=0.1"}
"""A header that means the same, and that the short way does not take."""


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a key, a model for MLflow's protocol, and one slot."""
    folder = tmp_path_factory.mktemp("keyed") / "data"
    running = Service(folder, FITD_SLOTS="1", FITD_API_KEY=KEY, FITD_SCORING_MODEL="line@champion")
    yield running
    running.close()


@pytest.fixture(scope="module")
def secured(keyed: Service) -> str:
    """The job of a registered model on it."""
    job = keyed.submit(SHORT, **bearer(KEY))["id"]
    body = {"name": "line", "job": job, "aliases": ["champion"]}
    assert keyed.client.post("/v1/models", json=body, headers=bearer(KEY)).status_code == 201
    return job


@pytest.fixture(scope="module")
def job(service: Service) -> str:
    return service.submit(SHORT)["id"]


@pytest.mark.parametrize(
    "body",
    [
        {"columns": {"x": [0.5]}},
        {"columns": {"x": [0, 1, 2.5]}},
        {"rows": [{"x": 0.5}, {"x": 1}]},
        {"columns": {"x": [2**63, -1e300, 1e-320]}},
        # These are not for the short way, and have to come out of it as they went in.
        {"columns": {"x": [True]}},
        {"columns": {"x": []}},
        {"columns": {"x": [None]}},
        {"columns": {"x": ["1"]}},
        {"columns": {"z": [1]}},
        {"columns": {"x": 1}},
        {"columns": {}},
        {"columns": None},
        {"rows": []},
        {"rows": [{}]},
        {"rows": [{"x": 1}, {"z": 1}]},
        {"rows": [1]},
        {"columns": {"x": [1]}, "rows": [{"x": 1}]},
        {"columns": {"x": [1]}, "more": 1},
        {},
        [],
        "text",
    ],
    ids=lambda body: str(body)[:40],
)
def test_both_ways_answer_alike(service: Service, job: str, body: Any) -> None:  # noqa: ANN401 - JSON
    path = f"/v1/jobs/{job}/predict"
    short = [service.client.post(path, json=body) for _ in range(2)][-1]
    ordinary = service.client.post(path, json=body, headers=ORDINARY)
    assert (short.status_code, short.content) == (ordinary.status_code, ordinary.content)
    assert {**short.headers, "date": ""} == {**ordinary.headers, "date": ""}


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"columns":{"x":[1e400]}}', b'{"columns":{"x":[NaN]}}', b"\xff"]
)
def test_both_ways_answer_alike_to_broken_bodies(service: Service, job: str, content: bytes) -> None:
    path, media = f"/v1/jobs/{job}/predict", {"Content-Type": "application/json"}
    short = [service.client.post(path, content=content, headers=media) for _ in range(2)][-1]
    ordinary = service.client.post(path, content=content, headers={**media, **ORDINARY})
    assert short.status_code == 422
    assert short.content == ordinary.content


TWICE = [("X-Twice", "1"), ("X-Twice", "2")]
"""Headers that mean nothing, and that no short way takes."""
HALF = {"name": "x", "datatype": "FP64", "shape": [1], "data": [0.5]}
BINARY_HALF = {"name": "x", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}}


def with_binary(request: dict[str, Any], *, told: int | str | None = None) -> dict[str, Any]:
    """A body of JSON and a number behind it, and the header that says where that begins."""
    text = json.dumps(request).encode()
    length = str(len(text) if told is None else told)
    return {
        "content": text + struct.pack("<d", 0.5),
        "headers": [("Inference-Header-Content-Length", length)],
    }


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/v2/models/{job}/infer", {"json": {"inputs": [HALF]}}, 200),
        ("/v2/models/{job}/versions/1/infer", {"json": {"inputs": [HALF]}}, 200),
        ("/v2/models/{job}/versions/2/infer", {"json": {"inputs": [HALF]}}, 404),
        ("/v2/models/{job}/infer", with_binary({"inputs": [BINARY_HALF]}), 200),
        ("/v2/models/{job}/infer", with_binary({"inputs": [BINARY_HALF]}, told=9999), 422),
        ("/v2/models/{job}/infer", with_binary({"inputs": [BINARY_HALF]}, told="-1"), 422),
        ("/v2/models/{job}/infer", {"json": {"inputs": [{**HALF, "name": "z"}]}}, 422),
        ("/v2/models/{job}/infer", {"json": {"inputs": []}}, 422),
        ("/v2/models/{job}/infer", {"content": b"{"}, 422),
        ("/v2/models/{job}/infer", {"content": b"x", "headers": [("Content-Type", "text/html")]}, 415),
        ("/v2/models/nobody's/infer", {"json": {"inputs": [HALF]}}, 404),
        ("/v2/models/%C3%A9/infer", {"json": {"inputs": [HALF]}}, 404),
        ("/v2/models//infer", {"json": {"inputs": [HALF]}}, 404),
        ("/v2/models/{job}/infer?more=1", {"json": {"inputs": [HALF]}}, 422),
        ("/invocations?model={job}", {"json": {"instances": [0.5]}}, 200),
        ("/invocations?model={job}&version=1", {"json": {"instances": [0.5]}}, 200),
        ("/invocations?model=%6Aob_x", {"json": {"instances": [0.5]}}, 404),
        ("/invocations?model=", {"json": {"instances": [0.5]}}, 404),
        ("/invocations", {"json": {"instances": [0.5]}}, 404),
        (
            "/v1/models/{job}/invocations",
            {"json": {"dataframe_split": {"columns": ["x"], "data": [[1]]}}},
            200,
        ),
        (
            "/v1/models/{job}/invocations",
            {"content": b"x\n1\n", "headers": [("Content-Type", "text/csv")]},
            200,
        ),
        ("/v1/models/{job}/invocations", {"json": {"instances": ["much"]}}, 422),
        ("/v1/models/{job}/invocations", {"json": {"instances": [0.5], "inputs": [1]}}, 422),
        ("/v1/models/{job}/invocations?x=1", {"json": {"instances": [0.5]}}, 422),
    ],
)
def test_both_ways_answer_alike_in_foreign_protocols(
    service: Service, job: str, path: str, sent: dict[str, Any], status: int
) -> None:
    headers = sent.get("headers", [])
    short, ordinary = [
        service.client.post(path.format(job=job), **{**sent, "headers": [*headers, *more]})
        for more in ([], TWICE)
    ]
    assert (short.status_code, ordinary.status_code) == (status, status), (short.text, ordinary.text)
    assert short.content == ordinary.content
    assert {**short.headers, "date": ""} == {**ordinary.headers, "date": ""}


def test_classes_and_probabilities_are_the_same(service: Service) -> None:
    path = f"/v1/jobs/{service.submit(CLASSES_JOB)['id']}/predict"
    for body in (
        {"columns": {"x": [0.1, 0.9], "color": ["red", None]}},
        {"rows": [{"x": 0.1, "color": "blue"}]},
        {"rows": [{"x": 0.1, "color": "green"}]},
    ):
        short = [service.client.post(path, json=body) for _ in range(2)][-1]
        assert short.content == service.client.post(path, json=body, headers=ORDINARY).content


@pytest.mark.parametrize(
    ("path", "body", "route"),
    [
        ("/v1/jobs/{}/predict", {"columns": {"x": [0.5]}}, "/v1/jobs/{job_id}/predict"),
        ("/v2/models/{}/infer", {"inputs": [HALF]}, "/v2/models/{name}/infer"),
        (
            "/v2/models/{}/versions/1/infer",
            {"inputs": [HALF]},
            "/v2/models/{name}/versions/{version}/infer",
        ),
        ("/invocations?model={}", {"instances": [0.5]}, "/invocations"),
        ("/v1/models/{}/invocations", {"instances": [0.5]}, "/v1/models/{name}/invocations"),
    ],
)
def test_requests_on_the_short_way_are_counted_by_their_route(
    service: Service, job: str, path: str, body: dict[str, Any], route: str
) -> None:
    path = path.format(job)
    service.client.post(path, json=body)
    assert route in create_app(Settings()).openapi()["paths"]

    def counted() -> float:
        line = f'fitd_http_requests_total{{method="POST",route="{route}",status="200"}} '
        text = service.client.get("/metrics").text
        return float(next(one for one in text.splitlines() if one.startswith(line)).removeprefix(line))

    before = counted()
    for _ in range(5):
        service.client.post(path, json=body)
    assert counted() == before + 5


def test_a_page_of_another_site_is_refused_on_the_short_way_too(service: Service, job: str) -> None:
    path, body = f"/v1/jobs/{job}/predict", {"columns": {"x": [0.5]}}
    assert service.client.post(path, json=body, headers={"Origin": "https://evil.example"}).status_code == 403
    assert service.client.post(path, json=body, headers={"Host": "evil.example"}).status_code == 421


def test_a_moved_alias_and_a_deleted_job_are_noticed_at_once(service: Service) -> None:
    jobs = [service.submit({**SHORT, "training": {"epochs": n, "seed": 0}})["id"] for n in (20, 40)]
    name, body = name_of_its_own(), {"columns": {"x": [0.5]}}
    for one in jobs:
        register(service, name, one)
    path = f"/v1/models/{name}/predict"
    for version in (1, 2, 1):
        service.client.put(f"/v1/models/{name}/aliases/champion", json={"version": version})
        assert [service.client.post(path, json=body).json()["version"] for _ in range(2)] == [version] * 2
    assert service.client.post(f"/v1/jobs/{jobs[0]}/predict", json=body).status_code == 200
    assert service.client.delete(f"/v1/jobs/{jobs[0]}").status_code == 204
    assert service.client.post(f"/v1/jobs/{jobs[0]}/predict", json=body).status_code == 404


def test_many_who_ask_at_once_for_what_is_not_loaded_all_get_it(service: Service) -> None:
    path = f"/v1/jobs/{service.submit(SHORT)['id']}/predict"

    def ask(place: int) -> list[float]:
        answer = service.client.post(path, json={"columns": {"x": [float(place)]}})
        assert answer.status_code == 200, answer.text
        found: list[float] = answer.json()["columns"]["y"]
        return found

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ask, range(24)))
    assert len({one for (one,) in found}) == 24


PATHS = [
    ("POST", "/v1/jobs/{job}/predict", {"columns": {"x": [0.5]}}),
    ("POST", "/v1/models/line/predict", {"columns": {"x": [0.5]}}),
    (
        "POST",
        "/v2/models/line/infer",
        {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [0.5]}]},
    ),
    ("POST", "/invocations", {"instances": [0.5]}),
    ("POST", "/v1/models/line/invocations", {"instances": [0.5]}),
    ("GET", "/v2", None),
    ("GET", "/v2/models/line", None),
    ("GET", "/v2/models/line/ready", None),
    ("GET", "/v1/models/line/ping", None),
]


@pytest.mark.parametrize(("method", "path", "body"), PATHS, ids=[path for _, path, _ in PATHS])
def test_every_prediction_needs_the_key(
    keyed: Service, secured: str, method: str, path: str, body: dict[str, Any] | None
) -> None:
    path = path.format(job=secured)

    def asked(**headers: str) -> httpx2.Response:
        return keyed.client.request(method, path, json=body, headers=headers)

    assert [asked(**bearer(KEY)).status_code for _ in range(2)] == [200, 200]
    for headers in ({}, bearer("wrong"), {"Authorization": KEY}, {"Authorization": f"Basic {KEY}"}):
        answer = asked(**headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert asked(Authorization=f"bearer {KEY}").status_code == 200


@pytest.mark.parametrize(
    "path", ["/v2/health/live", "/v2/health/ready", "/ping", "/health", "/version", "/healthz"]
)
def test_health_is_told_without_a_key(keyed: Service, secured: str, path: str) -> None:
    assert keyed.client.get(path).status_code == 200


def test_owners_scopes_and_rates_hold_on_the_short_way(keyed: Service, secured: str) -> None:
    path, body = f"/v1/jobs/{secured}/predict", {"columns": {"x": [0.5]}}
    assert keyed.client.post(path, json=body, headers=bearer(KEY)).status_code == 200
    reader = new_key(keyed.data_dir, "local", "read")["secret"]
    assert keyed.client.post(path, json=body, headers=bearer(reader)).status_code == 403
    stranger = new_key(keyed.data_dir, secrets.token_hex(4))["secret"]
    assert keyed.client.post(path, json=body, headers=bearer(stranger)).status_code == 404
    few = new_key(keyed.data_dir, "local", "read,write", "--requests-per-minute", "4")["secret"]
    # Each counts once, whichever way it takes in the end.
    bodies: list[Any] = [body, {"columns": {"z": [1]}}, {}, body, body]
    answers = [keyed.client.post(path, json=one, headers=bearer(few)) for one in bodies]
    assert [answer.status_code for answer in answers] == [200, 422, 422, 200, 429]
    assert int(answers[-1].headers["retry-after"]) > 0
