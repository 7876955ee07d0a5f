"""What somebody else has does not exist: every route with an id in its path, walked as two owners."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.access.keyed import Caller, new_key
from tests.conftest import TUTORIAL, Service

NOWHERE = {
    "job_id": "job_" + "a" * 24,
    "dataset_id": "ds_" + "a" * 24,
    "sweep_id": "sweep_" + "a" * 24,
    "name": "no-model",
    "alias": "champion",
}
"""Ids as the service makes them, of nothing."""
CSV = b"x,y\n" + b"".join(b"%d,%d\n" % (n, 5 * n + 7 + n % 3) for n in range(20))
BODIES = {"text/csv": CSV}
FILTERS = ("", "?name=a%20secret%20name", "?status=succeeded")


class Household:
    """A service with two owners; one of them has everything that there is to have."""

    def __init__(self, service: Service) -> None:
        self.service = service
        # One looks with every right that a key can have, so that nothing but the owner stands in the way.
        self.has = Caller(service, new_key(service.data_dir, "has", "admin")["secret"])
        self.looks = Caller(service, new_key(service.data_dir, "looks", "admin")["secret"])
        dataset = self.has.post("/v1/datasets", content=CSV, headers={"Content-Type": "text/csv"}).json()
        spec = {
            **TUTORIAL,
            "name": "a secret name",
            "data": {"type": "dataset", "id": dataset["id"], "target": "y"},
            "optimizer": {"type": "SGD", "lr": 0.001},
            "training": {"epochs": 20, "seed": 0},
        }
        job = self.has.post(
            "/v1/jobs", json=spec, headers={"Prefer": "wait=30", "Idempotency-Key": "mine"}
        ).json()
        assert job["status"] == "succeeded", job
        sweep = {
            "name": "a secret name",
            "spec": spec,
            "parameters": {"/optimizer/lr": {"type": "choice", "values": [0.001, 0.01]}},
            "search": {"type": "grid"},
            "objective": {"monitor": "train_loss"},
        }
        swept = self.has.post("/v1/sweeps", json=sweep, headers={"Prefer": "wait=30"}).json()
        assert swept["status"] == "succeeded", swept
        self.spec = spec
        model = {"name": "secret-model", "job": job["id"], "aliases": ["champion"]}
        assert self.has.post("/v1/models", json=model).status_code == 201
        self.ids = {
            "job_id": job["id"],
            "dataset_id": dataset["id"],
            "sweep_id": swept["id"],
            "name": "secret-model",
            "alias": "champion",
        }

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Every operation with an id in its path, each picture by itself."""
        document = self.service.client.get("/openapi.json").json()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                names = [one for one in operation.get("parameters", []) if one["in"] == "path"]
                if not names:
                    continue
                free = [one for one in names if one["name"] not in NOWHERE]
                choices = [_choices(one["schema"], document) for one in free]
                for chosen in itertools.product(*choices):
                    filled = path
                    for one, value in zip(free, chosen, strict=True):
                        filled = filled.replace(f"{{{one['name']}}}", value)
                    yield method, filled, operation

    def call(
        self, caller: Caller, method: str, path: str, operation: dict[str, Any], ids: dict[str, str]
    ) -> httpx2.Response:
        content = operation.get("requestBody", {}).get("content", {})
        media = next(iter(content), None)
        body, headers = None, {"Accept": "*/*"}
        if media is not None:
            example = next(iter(content[media].get("examples", {}).values()), {}).get("value", {})
            body = BODIES.get(media) or json.dumps(example).encode()
            headers["Content-Type"] = media
        return caller.request(method, path.format(**ids), content=body, headers=headers)


def _choices(schema: dict[str, Any], document: dict[str, Any]) -> list[str]:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return [str(value) for value in schema.get("enum", ["1"])]


@pytest.fixture(scope="module")
def household(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    running = Service(tmp_path_factory.mktemp("owners") / "data", FITD_SLOTS="1", FITD_API_KEY="operator")
    yield Household(running)
    running.close()


def test_every_id_of_another_owner_is_as_if_it_did_not_exist(household: Household) -> None:
    walked = 0
    for method, path, operation in household.operations():
        theirs = household.call(household.looks, method, path, operation, household.ids)
        nobodys = household.call(household.looks, method, path, operation, NOWHERE)
        where = f"{method} {path}"
        assert theirs.status_code == nobodys.status_code == 404, (
            where,
            theirs.status_code,
            nobodys.status_code,
        )
        assert _without_ids(theirs.text, household.ids) == _without_ids(nobodys.text, NOWHERE), where
        assert _headers(theirs, household.ids) == _headers(nobodys, NOWHERE), where
        walked += 1
    assert walked >= 18
    # All of it is still there, for whom it belongs to.
    for path in (
        "/v1/jobs/{job_id}",
        "/v1/jobs/{job_id}/parameters",
        "/v1/datasets/{dataset_id}",
        "/v1/models/{name}/versions/{alias}",
    ):
        assert household.has.get(path.format(**household.ids)).status_code == 200


def _without_ids(text: str, ids: dict[str, str]) -> str:
    for name, value in ids.items():
        text = text.replace(value, name)
    return text


def _headers(answer: httpx2.Response, ids: dict[str, str]) -> dict[str, str]:
    changing = {"date", "content-length"}
    return {name: _without_ids(value, ids) for name, value in answer.headers.items() if name not in changing}


def test_the_owner_gets_something_else_from_each_of_them(household: Household) -> None:
    """The walk proves nothing if its requests were wrong in themselves."""
    for method, path, operation in household.operations():
        if method != "delete":
            answer = household.call(household.has, method, path, operation, household.ids)
            # A picture that this job has none of, an action that its state forbids, a row of other columns.
            assert answer.json()["code"] != "job_not_found" if answer.status_code == 404 else True, path
            assert answer.status_code < 500


def test_lists_and_filters_show_only_what_is_ones_own(household: Household) -> None:
    filtered = [f"{path}{query}" for path in ("/v1/jobs", "/v1/sweeps") for query in FILTERS]
    of_sweep = "/v1/jobs?sweep={sweep_id}".format(**household.ids)
    for path in (*filtered, of_sweep, "/v1/datasets", "/v1/models"):
        assert household.looks.get(path).json()["data"] == []
        assert household.has.get(path).json()["data"]


def test_a_cursor_of_another_owner_is_none(household: Household) -> None:
    for path, name in (
        ("/v1/jobs", "job_id"),
        ("/v1/datasets", "dataset_id"),
        ("/v1/sweeps", "sweep_id"),
        ("/v1/models", "name"),
    ):
        answers = [household.looks.get(path, params={"after": ids[name]}) for ids in (household.ids, NOWHERE)]
        texts = [_without_ids(a.text, ids) for a, ids in zip(answers, (household.ids, NOWHERE), strict=True)]
        assert answers[0].status_code == 422
        assert texts[0] == texts[1]


def test_a_spec_cannot_refer_to_what_another_owner_has(household: Household) -> None:
    for ids in (household.ids, NOWHERE):
        spec = {**household.spec, "data": {"type": "dataset", "id": ids["dataset_id"], "target": "y"}}
        for path in ("/v1/jobs", "/v1/jobs/validate"):
            told = household.looks.post(path, json=spec).json()
            assert [one["code"] for one in told["errors"]] == ["unknown_dataset"]
        start = {**TUTORIAL, "model": {"type": "linear", "init_from": {"job": ids["job_id"]}}}
        for path in ("/v1/jobs", "/v1/jobs/validate"):
            told = household.looks.post(path, json=start).json()
            assert [one["code"] for one in told["errors"]] == ["unknown_job"]
        joined = household.looks.post(
            "/v1/datasets",
            params={"join": ids["dataset_id"]},
            content=CSV,
            headers={"Content-Type": "text/csv"},
        )
        assert joined.json()["code"] == "dataset_not_found"


def test_the_same_upload_of_two_owners_makes_two_datasets(household: Household) -> None:
    answer = household.looks.post("/v1/datasets", content=CSV, headers={"Content-Type": "text/csv"})
    assert answer.status_code == 201
    assert answer.json()["id"] != household.ids["dataset_id"]
    assert household.looks.delete(f"/v1/datasets/{answer.json()['id']}").status_code == 204
    assert household.has.get(f"/v1/datasets/{household.ids['dataset_id']}/preview").status_code == 200


def test_the_figures_name_no_job_no_owner_and_no_key(household: Household) -> None:
    figures = household.service.client.get("/metrics").text
    assert "fitd_jobs" in figures
    for word in ("a secret name", *household.ids.values(), '"has"', '"looks"', "key_", "fitd_" + "x"):
        assert word not in figures
