"""Registered models, exports and predictions of datasets, by the client."""

import asyncio
import io
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fitd_client import AsyncClient, Client, Conflict, FitdWarning, NotFound

from tests.conftest import Service

pytest.importorskip("service.registry")
pytest.importorskip("service.exports")
pytest.importorskip("service.predictions")

DRAWN = np.random.default_rng(0)
FRAME = pd.DataFrame({"x": DRAWN.uniform(size=60), "town": DRAWN.choice(["Bern", "Oslo"], 60)})
FRAME["y"] = 5 * FRAME.x + (FRAME.town == "Oslo")


@pytest.fixture(scope="module")
def job(client: Client) -> Any:  # noqa: ANN401 - a job
    return client.fit(FRAME, target="y", seed=0, wait=True)


@pytest.fixture
def name() -> str:
    return f"calibration-{uuid.uuid4()}"


def test_a_model_is_registered_promoted_and_predicts(client: Client, job: Any, name: str) -> None:  # noqa: ANN401
    first = client.register(
        job, name, aliases=["champion"], description="As of spring", metadata={"lab": "3"}
    )
    assert (first.version, first.aliases, first.metadata) == (1, ["champion"], {"lab": "3"})
    assert [one.name for one in first.inputs] == ["x", "town"]
    assert first.lineage.job_id == job.id
    assert client.register(job, name).version == 1
    second = client.register(job.rerun(wait=10, training={"epochs": 1}), name)
    model = client.model(name)
    assert (model.latest_version, model.aliases) == (2, {"champion": 1})
    assert [one.version for one in model.versions()] == [2, 1]
    np.testing.assert_allclose(model.predict(FRAME), job.predict(FRAME))
    assert abs(model.at("latest").predict(FRAME) - FRAME.y).mean() > 0.1
    assert model.promote().aliases == {"champion": second.version}
    assert model.alias("spring", 1).describe("spring").digest == first.digest
    assert model.remove_alias("spring").aliases == {"champion": 2}
    assert "Model" in model._repr_html_()
    assert name in {one.name for one in client.models()}


def test_a_model_in_use_is_not_removed(client: Client, job: Any, name: str) -> None:  # noqa: ANN401
    client.register(job, name, aliases=["champion"])
    model = client.model(name)
    with pytest.raises(Conflict):
        model.delete(1)
    model.remove_alias("champion").delete()
    with pytest.raises(NotFound):
        client.model(name)


def test_the_same_can_be_awaited(service: Service, job: Any, name: str) -> None:  # noqa: ANN401
    async def registered() -> float:
        async with AsyncClient(service.url) as client:
            await client.register(job.id, name)
            model = await client.model(name)
            assert [one.version async for one in model.versions()] == [1]
            found: float = (await model.predict({"x": [0.5], "town": ["Oslo"]}))["y"][0]
            return found

    assert asyncio.run(registered()) == pytest.approx(3.5, abs=0.01)


def test_a_dataset_is_predicted(client: Client, job: Any, name: str, tmp_path: Any) -> None:  # noqa: ANN401
    client.register(job, name)
    dataset = client.upload(FRAME[["x", "town"]])
    prediction = client.predict_dataset(client.model(name), dataset, keep=["town"], wait=True)
    assert prediction.status == "succeeded"
    assert prediction.progress.rows == 60
    found = prediction.result()
    assert list(found.columns) == ["town", "y"]
    np.testing.assert_allclose(found.y, job.predict(FRAME), rtol=1e-5)
    assert list(pd.read_csv(io.BytesIO(prediction.result(format="csv"))).columns) == ["town", "y"]
    assert prediction.save(tmp_path / "y.parquet").read_bytes().startswith(b"PAR1")
    assert client.prediction(prediction.id) == prediction
    assert prediction in list(client.predictions(limit=100))
    assert client.predict_dataset(job, dataset.id).wait(60).result(format="arrow").column_names == ["y"]
    prediction.delete()
    with pytest.raises(NotFound):
        prediction.refresh()


def test_rows_that_cannot_be_predicted_are_told(client: Client, job: Any) -> None:  # noqa: ANN401
    dataset = client.upload(pd.DataFrame({"x": [0.5, 0.5, 0.6], "town": ["Bern", "Wien", "Oslo"]}))
    with pytest.warns(FitdWarning, match="1 rows are not predicted, from row 1: .*unknown_category"):
        prediction = client.predict_dataset(job, dataset, wait=True)
    assert prediction.result().y.isna().tolist() == [False, True, False]


def test_exports_are_listed_made_and_told_of(client: Client, job: Any, tmp_path: Any) -> None:  # noqa: ANN401
    forms = {one.format: one for one in job.exports()}
    assert forms["coefficients"].available
    assert b"town=Oslo" in job.export("coefficients", tmp_path / "line.json")
    assert (tmp_path / "line.json").exists()
    report = job.export_report("coefficients")
    assert report.format == "coefficients"
    assert report.bytes == len((tmp_path / "line.json").read_bytes())
    tree = client.fit(FRAME, target="y", model="mlp", epochs=2, wait=True)
    with pytest.raises(Conflict, match="export_not_available"):
        tree.export("coefficients")


def test_a_version_of_a_model_is_exported(client: Client, job: Any, name: str) -> None:  # noqa: ANN401
    client.register(job, name)
    model = client.model(name, version=1)
    assert len(model.export("coefficients")) == model.export_report("coefficients").bytes
    assert {one.format for one in model.exports()} == {one.format for one in job.exports()}
