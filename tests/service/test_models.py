"""Models over HTTP: registered from jobs, promoted by aliases, asked for predictions, deleted with care."""

import io
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import TUTORIAL
from tests.inline import Inline
from tests.serving.models import CLASSES_JOB

SHORT: dict[str, Any] = {**TUTORIAL, "training": {"epochs": 30, "seed": 0}}


def name_of_its_own() -> str:
    return f"line-{secrets.token_hex(4)}"


def register(service: Inline, name: str, job: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - of a body
    answer = service.client.post("/v1/models", json={"name": name, "job": job, **more})
    assert answer.status_code in {200, 201}, answer.text
    version: dict[str, Any] = answer.json()
    assert answer.headers["location"] == version["links"]["self"]
    return version


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Inline]:
    with Inline(tmp_path_factory.mktemp("models") / "data", sqlite_template) as service:
        yield service


@pytest.fixture(scope="module")
def jobs(service: Inline) -> list[str]:
    """Two jobs whose fits differ."""
    return [service.submit({**SHORT, "training": {"epochs": n, "seed": 0}})["id"] for n in (30, 60)]


@pytest.fixture(scope="module")
def model(service: Inline, jobs: list[str]) -> str:
    """A model of two versions, of which the first is the champion. Nobody changes it."""
    name = name_of_its_own()
    register(service, name, jobs[0], aliases=["champion"], description="the first", metadata={"team": "ß"})
    register(service, name, jobs[1], description="the second")
    return name


def test_a_version_tells_what_it_is_and_where_it_came_from(
    service: Inline, model: str, jobs: list[str]
) -> None:
    version = service.client.get(f"/v1/models/{model}/versions/champion").json()
    job = service.job(jobs[0])
    assert version["id"].startswith("model_")
    assert (version["name"], version["version"], version["aliases"]) == (model, 1, ["champion"])
    assert (version["description"], version["metadata"]) == ("the first", {"team": "ß"})
    assert version["inputs"] == [{"name": "x", "kind": "number", "missing": False}]
    assert version["outputs"] == [{"name": "y", "kind": "number"}]
    assert (version["result"], version["spec"]) == (job["result"], job["spec"])
    lineage = version["lineage"]
    assert (lineage["job_id"], lineage["seed"], lineage["engine"]) == (job["id"], 0, job["engine"])
    assert lineage["split_digest"] == job["result"]["split"]["digest"]
    assert {"fitd", "torch"} <= lineage["environment"].keys()
    assert (lineage["data_type"], lineage["dataset"]) == ("synthetic", None)
    assert lineage["finished_at"] == job["finished_at"]


def test_a_model_tells_its_versions_and_aliases(service: Inline, model: str) -> None:
    found = service.client.get(f"/v1/models/{model}").json()
    assert (found["versions"], found["latest_version"], found["aliases"]) == (2, 2, {"champion": 1})
    assert found["description"] == "the second"
    assert found in service.client.get("/v1/models", params={"limit": 100}).json()["data"]


def test_models_and_versions_are_listed_in_pages(service: Inline, model: str, jobs: list[str]) -> None:
    register(service, name_of_its_own(), jobs[0])
    page = service.client.get("/v1/models", params={"limit": 1}).json()
    assert page["next_after"] == page["data"][0]["name"]
    names = [page["data"][0]["name"]]
    while page["has_more"]:
        page = service.client.get("/v1/models", params={"limit": 1, "after": page["next_after"]}).json()
        names.append(page["data"][0]["name"])
    assert model in names
    assert len(names) == len(set(names))
    page = service.client.get(f"/v1/models/{model}/versions", params={"limit": 1}).json()
    assert ([one["version"] for one in page["data"]], page["next_after"]) == ([2], "2")
    page = service.client.get(f"/v1/models/{model}/versions", params={"after": page["next_after"]}).json()
    assert ([one["version"] for one in page["data"]], page["has_more"]) == ([1], False)
    for path in ("/v1/models", f"/v1/models/{model}/versions"):
        told = service.client.get(path, params={"after": "nothing!"}).json()
        assert [one["code"] for one in told["errors"]] == ["unknown_cursor"]


def test_the_same_job_again_is_answered_with_the_version_it_is(
    service: Inline, model: str, jobs: list[str]
) -> None:
    answer = service.client.post("/v1/models", json={"name": model, "job": jobs[0]})
    assert (answer.status_code, answer.json()["version"]) == (200, 1)


def predicted(service: Inline, path: str, **params: str) -> tuple[list[float], dict[str, Any]]:
    answer = service.client.post(path, params=params, json={"columns": {"x": [0.0, 0.5, 2.0]}})
    assert answer.status_code == 200, answer.text
    return answer.json()["columns"]["y"], {**answer.json(), **answer.headers}


def test_a_model_predicts_what_its_job_predicts(service: Inline, model: str, jobs: list[str]) -> None:
    of_jobs = [predicted(service, f"/v1/jobs/{job}/predict")[0] for job in jobs]
    assert of_jobs[0] != of_jobs[1]
    path = f"/v1/models/{model}/predict"
    for version, number in (("1", 1), ("2", 2), ("latest", 2), ("champion", 1)):
        found, told = predicted(service, path, version=version)
        assert found == of_jobs[number - 1]
        assert (told["model"], told["version"], told["job_id"]) == (model, number, jobs[number - 1])
        assert told["fitd-model-version"] == str(number)
    assert predicted(service, path)[0] == of_jobs[0], "the champion, where none is named"
    matrix = np.load(_npy(service, path))
    np.testing.assert_array_equal(matrix[:, 0], of_jobs[0])


def _npy(service: Inline, path: str) -> Any:  # noqa: ANN401 - a file
    sent = io.BytesIO()
    np.save(sent, np.array([0.0, 0.5, 2.0]))
    headers = {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}
    answer = service.client.post(path, content=sent.getvalue(), headers=headers)
    assert answer.headers["fitd-model-version"] == "1"
    return io.BytesIO(answer.content)


def test_promotion_and_the_way_back_is_moving_an_alias(service: Inline, jobs: list[str]) -> None:
    name = name_of_its_own()
    register(service, name, jobs[0], aliases=["champion"])
    register(service, name, jobs[1], aliases=["challenger"])
    path = f"/v1/models/{name}"
    before = predicted(service, f"{path}/predict")[0]
    moved = service.client.put(f"{path}/aliases/champion", json={"version": "challenger"}).json()
    assert moved["aliases"] == {"challenger": 2, "champion": 2}
    assert predicted(service, f"{path}/predict")[0] != before
    assert service.client.put(f"{path}/aliases/champion", json={"version": 1}).status_code == 200
    assert predicted(service, f"{path}/predict")[0] == before


def test_versions_and_models_are_deleted_with_care(service: Inline, jobs: list[str]) -> None:
    name = name_of_its_own()
    path = f"/v1/models/{name}"
    register(service, name, jobs[0], aliases=["champion"])
    register(service, name, jobs[1])
    for one in (f"{path}/versions/1", f"{path}/versions/champion", path):
        answer = service.client.delete(one)
        assert (answer.status_code, answer.json()["code"]) == (409, "model_in_use")
        assert "aliases/champion" in answer.json()["hint"]
    assert service.client.delete(f"{path}/versions/latest").status_code == 204
    assert service.client.get(path).json()["latest_version"] == 1
    assert service.client.delete(f"{path}/aliases/champion").status_code == 204
    assert service.client.delete(f"{path}/aliases/champion").status_code == 404
    assert service.client.delete(f"{path}/versions/1").status_code == 204
    left = service.client.get(path).json()
    assert (left["versions"], left["latest_version"], left["description"]) == (0, None, None)
    assert service.client.get(f"{path}/versions").json()["data"] == []
    assert service.client.post(f"{path}/predict", json={"columns": {"x": [1]}}).status_code == 404
    assert service.client.delete(path).status_code == 204
    assert service.client.get(path).json()["code"] == "model_not_found"


def test_a_version_outlives_its_job_and_its_dataset(service: Inline) -> None:
    rows = "x,y\n" + "".join(f"{n},{5 * n + 7}\n" for n in range(20))
    dataset = service.client.post("/v1/datasets", content=rows, headers={"Content-Type": "text/csv"}).json()
    data = {"type": "dataset", "id": dataset["id"], "target": "y"}
    spec = {**SHORT, "data": data, "preprocessing": {"scaling": "standardize"}}
    job = service.submit(spec)
    name = name_of_its_own()
    version = register(service, name, job["id"])
    assert version["lineage"]["dataset"] == {"id": dataset["id"], "digest": dataset["digest"]}
    before = predicted(service, f"/v1/jobs/{job['id']}/predict")[0]
    assert service.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert service.client.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    assert predicted(service, f"/v1/models/{name}/predict")[0] == before
    assert service.client.get(version["links"]["self"]).json() == version
    again = service.client.post("/v1/models", json={"name": name, "job": job["id"], "aliases": ["kept"]})
    assert (again.status_code, again.json()["aliases"]) == (200, ["kept"])


def test_categories_classes_and_groups_are_described(service: Inline) -> None:
    version = register(service, name_of_its_own(), service.submit(CLASSES_JOB)["id"])
    assert version["inputs"] == [
        {"name": "x", "kind": "number", "missing": False},
        {"name": "color", "kind": "category", "categories": ["blue", "red"], "missing": True},
    ]
    assert version["outputs"] == [{"name": "big", "kind": "class", "classes": [0.0, 1.0]}]
    sensors = {"sensor": ["left", "right"] * 10, "x": list(range(20)), "y": list(range(20))}
    grouped = {**SHORT, "data": {"type": "inline", "columns": sensors, "target": "y", "group_by": "sensor"}}
    grouped["optimizer"] = {"type": "SGD", "lr": 0.001}
    job = service.submit(grouped)
    version = register(service, name_of_its_own(), job["id"])
    assert version["inputs"][0] == {
        "name": "sensor",
        "kind": "category",
        "categories": ["left", "right"],
        "missing": False,
    }
    asked = {"columns": {"sensor": ["right", "left"], "x": [1.0, 1.0]}}
    answers = [
        service.client.post(path, json=asked).json()["columns"]
        for path in (version["links"]["predict"], f"/v1/jobs/{job['id']}/predict")
    ]
    assert answers[0] == answers[1]


def test_a_job_without_a_fit_is_refused_with_a_reason(service: Inline, jobs: list[str]) -> None:
    diverged = service.submit({**SHORT, "optimizer": {"type": "SGD", "lr": 1e9}})
    answer = service.client.post("/v1/models", json={"name": "line", "job": diverged["id"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "state_conflict")
    assert "learning rate" in answer.json()["hint"]
    answer = service.client.post("/v1/models", json={"name": "line", "job": "job_none"})
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
    assert service.client.get("/v1/models/line").status_code == 404


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"name": "job_x"}, "/name", "reserved_name"),
        ({"name": "-x"}, "/name", "invalid_text"),
        ({"name": "x" * 101}, "/name", "invalid_text"),
        ({"name": None}, "/name", "wrong_type"),
        ({"aliases": ["latest"]}, "/aliases/0", "reserved_name"),
        ({"aliases": ["2"]}, "/aliases/0", "invalid_text"),
        ({"aliases": ["a"] * 21}, "/aliases", "too_long"),
        ({"metadata": {"a": 1}}, "/metadata/a", "wrong_type"),
        ({"description": "\0"}, "/description", "invalid_text"),
        ({"alias": "champion"}, "/alias", "unknown_field"),
    ],
)
def test_a_wrong_registration_is_told(
    service: Inline, jobs: list[str], change: dict[str, Any], pointer: str, code: str
) -> None:
    answer = service.client.post("/v1/models", json={"name": "line", "job": jobs[0], **change})
    assert answer.status_code == 422
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [(pointer, code)]
    assert all(one["hint"] for one in answer.json()["errors"])


def test_a_wrong_alias_is_told(service: Inline, model: str) -> None:
    path = f"/v1/models/{model}/aliases"
    for alias, body, code in (
        ("latest", {"version": 1}, "reserved_name"),
        ("2", {"version": 1}, "invalid_parameter"),
        ("champion", {}, "missing"),
        ("champion", {"version": 0}, "out_of_range"),
        ("champion", {"version": 1.5}, "wrong_type"),
    ):
        answer = service.client.put(f"{path}/{alias}", json=body)
        assert answer.status_code == 422, answer.text
        assert [one["code"] for one in answer.json()["errors"]] == [code]
    assert service.client.put(f"{path}/champion", json={"version": 7}).status_code == 404
    assert service.client.get(f"/v1/models/{model}").json()["aliases"] == {"champion": 1}


def test_no_text_with_nul_reaches_the_database(service: Inline, model: str) -> None:
    for answer, pointer in (
        (service.client.post("/v1/models", json={"name": "nul", "job": "job_\0"}), "/job"),
        (service.client.put(f"/v1/models/{model}/aliases/nul", json={"version": "a\0"}), "/version"),
    ):
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["pointer"], error["code"]) == (422, pointer, "invalid_text")
        assert "NUL" in error["message"]
