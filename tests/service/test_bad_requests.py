"""Every bad request gets a problem with a reason and a hint, and never a 500."""

import gzip
import http.client
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Service


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:  # noqa: ANN401
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["status"] == status
    assert told["code"] == code
    assert told["type"]
    assert told["title"]
    assert told["detail"]
    return told


def test_every_problem_of_a_spec_at_once(service: Service, tutorial: dict[str, Any]) -> None:
    tutorial["loss"]["type"] = "MSEloss"
    tutorial["optimizer"] |= {"lr": -1, "lrr": 3}
    tutorial["training"]["epochs"] = 10**9
    tutorial["data"]["target"]["expression"] = "5*x + z"
    for path in ("/v1/jobs", "/v1/jobs/validate"):
        told = problem(service.client.post(path, json=tutorial), 422, "invalid_spec")
        assert [(one["pointer"], one["code"]) for one in told["errors"]] == [
            ("/data/target/expression", "unknown_column"),
            ("/loss/type", "unknown_name"),
            ("/optimizer/lr", "out_of_range"),
            ("/optimizer/lrr", "unknown_field"),
            ("/training/epochs", "limit_exceeded"),
        ]
        assert told["errors"][1]["hint"] == "Did you mean `MSELoss`?"
        assert all(one["message"] and one["hint"] for one in told["errors"])


@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded", "text/plain", "json"])
def test_a_body_without_its_content_type(
    service: Service, tutorial: dict[str, Any], content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = service.client.post("/v1/jobs", content=json.dumps(tutorial).encode(), headers=headers)
    assert "-H 'Content-Type: application/json'" in problem(answer, 415, "unsupported_media_type")["hint"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"not json", b'{"a": NaN', b"\xff\xfe\x00", b"[" * 100_000, b'"\\ud800"']
)
def test_a_body_that_is_not_json(service: Service, body: bytes) -> None:
    answer = service.client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    told = problem(answer, 422, "invalid_spec")
    assert told["errors"][0]["code"] in {"invalid_json", "wrong_type"}


@pytest.mark.parametrize("body", [b"null", b"[]", b"3", b'"spec"', b"{}"])
def test_json_that_is_no_spec(service: Service, body: bytes) -> None:
    answer = service.client.post(
        "/v1/jobs", content=body, headers={"Content-Type": "application/json; charset=utf-8"}
    )
    problem(answer, 422, "invalid_spec")


def test_a_body_over_the_limit(own_service: Callable[..., Service], tutorial: dict[str, Any]) -> None:
    service = own_service(FITD_LIMITS__MAX_BODY_BYTES="100000", FITD_SLOTS="1")
    body = json.dumps(tutorial).encode() + b" " * 200_000
    headers = {"Content-Type": "application/json"}
    problem(service.client.post("/v1/jobs", content=body, headers=headers), 413, "body_too_large")

    def chunks() -> Any:  # noqa: ANN401
        for _ in range(100):
            yield b" " * 10_000

    problem(service.client.post("/v1/jobs", content=chunks(), headers=headers), 413, "body_too_large")
    assert service.submit(tutorial)["status"] == "succeeded"


def test_paths_and_methods_that_are_not_there(service: Service) -> None:
    problem(service.client.get("/v1/job"), 404, "not_found")
    problem(service.client.get("/v1/jobs/"), 404, "not_found")
    answer = service.client.put("/v1/jobs")
    problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["Allow"].replace(" ", "").split(",")) >= {"POST"}


@pytest.mark.parametrize(
    "job_id", ["job_nothing", "..%2f..%2fetc%2fpasswd", "ü", "%00", "a" * 5000, "' OR 1=1 --"]
)
def test_jobs_that_are_not_there(service: Service, job_id: str) -> None:
    for path in ("", "/history", "/events", "/parameters", "/plots/fit"):
        answer = service.client.get(f"/v1/jobs/{job_id}{path}")
        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert service.client.post(f"/v1/jobs/{job_id}/cancel").status_code == 404
    assert service.client.delete(f"/v1/jobs/{job_id}").status_code == 404


@pytest.mark.parametrize("value", ["-1", "x", "1e400", "nan", "61"])
def test_waits_that_make_no_sense(service: Service, value: str) -> None:
    problem(service.client.get("/v1/jobs/job_x", params={"wait": value}), 422, "invalid_parameter")


@pytest.mark.parametrize("value", ["x", "-1", str(2**64), ""])
def test_event_ids_that_are_none(service: Service, tutorial: dict[str, Any], value: str) -> None:
    tutorial["training"]["epochs"] = 2
    job = service.submit(tutorial)
    answer = service.client.get(f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": value})
    problem(answer, 422, "invalid_parameter")


def test_a_request_that_is_not_http(service: Service) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.putrequest("POST", "/v1/jobs")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b'{"half": ')
    connection.close()  # The client goes away in the middle of its body.
    assert service.client.get("/healthz").status_code == 200


def test_a_flood_of_unknown_fields_is_answered_with_a_hundred_problems(service: Service) -> None:
    told = problem(
        service.client.post("/v1/jobs", json={f"f{i}": 1 for i in range(1000)}), 422, "invalid_spec"
    )
    assert len(told["errors"]) == 100


def test_megabytes_of_wrong_numbers_are_answered_by_the_first(
    service: Service, tutorial: dict[str, Any]
) -> None:
    columns = {"x": [1.0] + ["a"] * 1_000_000, "y": [1.0] * 1_000_001}
    body = {**tutorial, "data": {"type": "inline", "columns": columns, "target": "y"}}
    told = problem(service.client.post("/v1/jobs/validate", json=body), 422, "invalid_spec")
    assert [one["pointer"] for one in told["errors"]] == ["/data/columns/x/1"]


def test_more_filters_than_a_job_can_have_pairs(service: Service) -> None:
    query = "&".join(f"metadata[k{i}]=v" for i in range(1500))
    told = problem(service.client.get(f"/v1/jobs?{query}"), 422, "invalid_request")
    assert told["errors"][0]["code"] == "limit_exceeded"


def test_allow_names_every_method_of_a_path(service: Service) -> None:
    assert service.client.patch("/v1/jobs/job_x").headers["Allow"] == "DELETE, GET"
    assert service.client.patch("/v1/jobs").headers["Allow"] == "GET, POST"


def test_unicode_everywhere(service: Service, tutorial: dict[str, Any]) -> None:
    tutorial["name"] = "🙂 نص \u0001"
    tutorial["metadata"] = {"schlüssel/~": "wert\n\t🙂"}
    tutorial["data"]["features"] = {"größe": {"distribution": "uniform"}}
    tutorial["data"]["target"] = {"name": "目标", "expression": "5*größe + 7"}
    tutorial["training"]["epochs"] = 10
    job = service.submit(tutorial)
    assert job["status"] == "succeeded"
    assert (job["name"], job["metadata"]) == (tutorial["name"], tutorial["metadata"])
    predicted = service.client.post(f"/v1/jobs/{job['id']}/predict", json={"columns": {"größe": [1]}}).json()
    assert list(predicted["columns"]) == ["目标"]
    for plot in ("loss", "fit"):
        for media in ("image/svg+xml", "image/png"):
            answer = service.client.get(f"/v1/jobs/{job['id']}/plots/{plot}", headers={"Accept": media})
            assert answer.status_code == 200


def test_an_api_key_is_asked_for_where_one_is_set(
    own_service: Callable[..., Service], tutorial: dict[str, Any]
) -> None:
    service = own_service(FITD_API_KEY="s3cret-ü", FITD_SLOTS="1")
    answer = service.client.post("/v1/jobs", json=tutorial)
    assert problem(answer, 401, "unauthorized")["hint"]
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    for wrong in ("Bearer wrong", "Basic s3cret", "s3cret"):
        assert service.client.get("/v1/jobs", headers={"Authorization": wrong}).status_code == 401
    right = {"Authorization": "Bearer s3cret-ü".encode()}
    assert service.client.get("/v1/jobs", headers=right).status_code == 200
    assert service.client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/v1/jobs?limt=3", "Did you mean `limit`?"),
        ("/v1/jobs/job_x?Wait=3", "Did you mean `wait`?"),
        ("/v1/jobs/job_x/history?max_point=3", "Did you mean `max_points`?"),
        ("/v1/capabilities?x=1", "This path takes no parameters."),
        ("/v1/jobs/job_x?metadata[a]=1", "Known are `wait`."),
    ],
)
def test_a_parameter_that_is_not_there_is_not_ignored(service: Service, path: str, hint: str) -> None:
    told = problem(service.client.get(path), 422, "invalid_request")
    assert told["errors"][0]["code"] == "unknown_parameter"
    assert told["errors"][0]["hint"] == hint


def test_a_query_parameter_is_named_when_one_of_its_values_is_wrong(service: Service) -> None:
    told = problem(service.client.get("/v1/jobs?status=running&status=nonsense"), 422, "invalid_parameter")
    assert told["errors"][0]["parameter"] == "status"


def test_a_row_that_does_not_fit_is_pointed_to_where_it_was_sent(
    service: Service, tutorial: dict[str, Any]
) -> None:
    tutorial["training"]["epochs"] = 2
    job = service.submit(tutorial)
    answer = service.client.post(f"/v1/jobs/{job['id']}/predict", json={"rows": [{"X": 1}]})
    pointers = [one["pointer"] for one in problem(answer, 422, "column_mismatch")["errors"]]
    assert pointers == ["/rows/0/X", "/rows/0"]


def test_a_compressed_body_is_refused_as_such(service: Service, tutorial: dict[str, Any]) -> None:
    body = gzip.compress(json.dumps(tutorial).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = service.client.post("/v1/jobs", content=body, headers=headers)
    assert "gzip" in problem(answer, 415, "unsupported_media_type")["detail"]
