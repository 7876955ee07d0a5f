"""The client against the service."""

import asyncio
import gc
import io
import sys
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fitd_client import (
    ApiError,
    AsyncClient,
    Client,
    Conflict,
    FitdWarning,
    InvalidRequest,
    JobFailed,
    NotFound,
    Unauthorized,
    WaitTimeout,
    answers,
    asking,
)

from tests.conftest import Service

DRAWN = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {"x": DRAWN.uniform(size=60), "z": DRAWN.normal(size=60)}, index=[f"row {n}" for n in range(60)]
)
FRAME["y"] = 5 * FRAME.x - 2 * FRAME.z + 7
FRAME["side"] = np.where(FRAME.x > 0.5, "high", "low")
LINE = FRAME[["x", "z", "y"]]
LONG = {"epochs": 1_000_000, "engine": "eager"}


@pytest.fixture(scope="module")
def line(client: Client) -> Any:  # noqa: ANN401 - a job
    return client.fit(LINE, target="y", wait=True, name="line", metadata={"device": "scale 3"})


def test_a_fit_of_a_frame_finds_the_line(line: Any) -> None:  # noqa: ANN401
    assert line.status == "succeeded"
    assert line.terminal
    assert (line.features, line.targets) == (["x", "z"], ["y"])
    assert line.result.coefficients == pytest.approx({"x": 5, "z": -2}, rel=1e-4)
    assert line.result.intercept == pytest.approx(7, rel=1e-4)
    assert line.engine.name == "quadratic"
    assert repr(line) == f"<Job {line.id} succeeded>"


@pytest.mark.parametrize("rows", [FRAME, pa.Table.from_pandas(FRAME), FRAME[["x", "z"]].to_numpy()])
def test_predictions_come_back_in_kind(line: Any, rows: Any) -> None:  # noqa: ANN401
    found = line.predict(rows)
    values = found.column("y").to_pylist() if isinstance(found, pa.Table) else found
    np.testing.assert_allclose(values, FRAME.y, rtol=1e-3)
    if isinstance(rows, pd.DataFrame):
        assert list(found.index) == list(FRAME.index)
        assert found.name == "y"


def test_columns_and_rows_are_predicted_too(line: Any) -> None:  # noqa: ANN401
    by_column = line.predict({"z": [0.0, 0.0], "x": [0.0, 1.0]})["y"]
    assert by_column == pytest.approx([7, 12], rel=1e-3)
    assert line.predict([{"x": 1.0, "z": 0.0}])["y"] == pytest.approx([12], rel=1e-3)


def test_many_rows_go_and_come_as_arrow(client: Client) -> None:
    drawn = np.random.default_rng(1)
    frame = pd.DataFrame(drawn.normal(size=(9000, 2)), columns=["a", "b"])
    frame["town"] = pd.Categorical(drawn.choice(["Bern", "Oslo"], 9000))
    frame["y"] = frame.a + (frame.town == "Oslo")
    job = client.fit(frame, target="y", epochs=40, wait=True, seed=0)
    assert job.spec["data"]["type"] == "dataset"
    assert job.spec["training"]["batch_size"] == 1024
    found = job.predict(frame)
    assert isinstance(found, pd.Series)
    assert abs(found - frame.y).mean() < 0.05
    few = frame.sample(5, random_state=0)
    np.testing.assert_allclose(job.predict(few), found[few.index], rtol=1e-4, atol=1e-4)


def test_classes_come_back_with_probabilities(client: Client) -> None:
    job = client.fit(FRAME[["x", "z"]], FRAME.side, wait=True, seed=0)
    assert job.spec["loss"]["type"] == "BCEWithLogitsLoss"
    assert (job.predict(FRAME) == FRAME.side).mean() > 0.9
    probabilities = job.predict_proba(FRAME)
    assert list(probabilities.columns) == job.result.classes == ["high", "low"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert job.predict_proba(FRAME[["x", "z"]].to_numpy()).shape == (60, 2)


def test_a_line_has_no_probabilities(line: Any) -> None:  # noqa: ANN401
    with pytest.raises(ApiError, match="gives no probabilities"):
        line.predict_proba(FRAME)


def test_the_history_comes_as_it_is_wanted(line: Any) -> None:  # noqa: ANN401
    frame = line.history()
    assert list(frame.epoch) == list(range(1, 2001))
    assert str(frame.epoch.dtype) == "int64"
    assert frame.dev_loss.isna().all()
    assert line.history(format="arrow", every=1000).column("epoch").to_pylist() == [1000, 2000]
    assert line.history(format="dict", first=3, last=4)["epoch"] == [3, 4]
    assert isinstance(line.history(format="answer", max_points=5), answers.History)


def test_pictures_parameters_and_checkpoints(line: Any, tmp_path: Any) -> None:  # noqa: ANN401
    picture = line.plot("loss")
    assert picture.content.startswith(b"<svg")
    assert picture.save(tmp_path / "loss.svg").read_bytes() == picture.content
    assert line.plot("residuals", format="png").content.startswith(b"\x89PNG")
    assert line.parameters().tensors["weight"].shape == [1, 2]
    assert b"weight" in line.parameters(format="safetensors")
    assert line.checkpoints() == []
    with pytest.raises(NotFound, match="there are the pictures loss, "):
        line.plot("confusion")


def test_jobs_are_found_again(client: Client, line: Any) -> None:  # noqa: ANN401
    assert client.job(line.id) == line
    assert list(client.jobs(name="line", metadata={"device": "scale 3"}, status="succeeded", limit=1)) == [
        line
    ]
    assert len(list(client.jobs(limit=3))) <= 3
    with pytest.raises(NotFound, match="job_not_found"):
        client.job("job_none")


def test_a_list_is_followed_page_by_page(
    client: Client, tutorial: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"many {uuid.uuid4()}"
    tutorial["training"]["epochs"] = 1
    made = [client.submit({**tutorial, "name": name}) for _ in range(3)]
    monkeypatch.setattr(asking, "_MOST_IN_PAGE", 2)
    assert list(client.jobs(name=name)) == made[::-1]
    assert list(client.jobs(name=name, limit=1)) == made[:1:-1]


def test_a_rerun_repeats_and_changes(line: Any) -> None:  # noqa: ANN401
    again = line.rerun(wait=10)
    other = line.rerun(wait=10, training={"epochs": 5})
    assert again.answer.rerun_of == other.answer.rerun_of == line.id
    assert again.result.coefficients == line.result.coefficients
    assert other.progress.epochs == 5


def test_a_spec_that_is_wrong_is_told_with_places_and_hints(client: Client) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.fit(LINE, target="y", loss="MSELos", optimizer={"type": "SGD", "momentun": 1})
    assert [problem.pointer for problem in caught.value.problems] == ["/loss/type", "/optimizer/momentun"]
    told = str(caught.value)
    assert told.startswith("422 invalid_spec: ")
    assert "/loss/type: `MSELos` is not known here. (unknown_name) Did you mean `MSELoss`?" in told
    assert "/optimizer/momentun: There is no field `momentun` here." in told


def test_an_infinite_number_is_refused_by_the_service_with_its_place(client: Client) -> None:
    with pytest.raises(InvalidRequest, match=r"Infinity|finite"):
        client.fit({"x": [1.0, float("inf"), 3.0], "y": [1.0, 2.0, 3.0]}, target="y")


def test_a_handle_keeps_its_connection(service: Service, tutorial: dict[str, Any]) -> None:
    job = Client(service.url).submit(tutorial)
    gc.collect()
    assert job.wait().status == "succeeded"


def test_a_job_is_validated_without_running(client: Client, tutorial: dict[str, Any]) -> None:
    found = client.validate(tutorial)
    assert found.parameters == 2
    assert found.spec["training"]["shuffle"] is True


def test_a_failed_job_raises_with_its_reason(client: Client) -> None:
    job = client.fit(LINE, target="y", optimizer="SGD", lr=1000.0, epochs=100, training={"engine": "eager"})
    with pytest.raises(JobFailed, match=rf"{job.id} has failed: .*\(diverged\)") as caught:
        job.wait()
    assert caught.value.code == "diverged"
    assert job.error is not None
    assert job.wait(check=False).status == "failed"


def test_doubts_of_the_service_are_told_once(client: Client, recwarn: pytest.WarningsRecorder) -> None:
    # A rate at which nothing is learnt.
    job = client.fit(LINE, target="y", optimizer="SGD", lr=1e-12, epochs=3, training={"engine": "eager"})
    job.wait()
    client.job(job.id).wait()
    told = [str(one.message) for one in recwarn if one.category is FitdWarning]
    doubts = job.result.warnings if job.result is not None else []
    assert told == [f"{job.id}: {doubt.message} {doubt.hint} ({doubt.code})" for doubt in doubts] != []


def test_waiting_gives_up_and_the_job_goes_on(client: Client) -> None:
    job = client.fit(LINE, target="y", training=LONG)
    with pytest.raises(WaitTimeout, match=f"{job.id} is still (queued|running)"):
        job.wait(timeout=0.2)
    with pytest.raises(Conflict):
        job.delete()
    assert job.cancel().wait(60).status == "cancelled"
    job.delete()
    with pytest.raises(NotFound):
        job.refresh()


def test_a_job_stands_still_and_goes_on(client: Client) -> None:
    job = client.fit(LINE, target="y", training=LONG)
    job.pause()
    while job.status == "pausing":
        job.refresh()
    assert job.status == "paused"
    assert job.resume().status in {"queued", "running"}
    assert job.cancel().wait(60).status == "cancelled"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    job = client.fit(LINE, target="y", training={"epochs": 1000, "engine": "eager"}).wait()
    lines = terminal.getvalue().split("\r")
    assert lines[-1].startswith(f"{job.id} succeeded epoch 1000/1000 loss ")
    assert lines[-1].endswith("\n")
    assert any("[=" in line for line in lines[:-1]) or len(lines) <= 3


def test_nobody_watching_gets_no_bar(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    client.fit(LINE, target="y", epochs=10).wait()
    assert capsys.readouterr().err == ""


def test_ctrl_c_leaves_the_job_running_and_says_so(
    client: Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = client.fit(LINE, target="y", training=LONG)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(client._connection._http, "request", interrupted)
    with pytest.raises(KeyboardInterrupt):
        job.wait()
    monkeypatch.undo()
    assert f"{job.id} goes on without you" in capsys.readouterr().err
    assert not job.refresh().terminal
    job.cancel()


def test_datasets_are_uploaded_from_frames_and_files(client: Client, tmp_path: Any) -> None:  # noqa: ANN401
    dataset = client.upload(FRAME, name="scale")
    assert (dataset.name, dataset.rows) == ("scale", 60)
    assert {column.name: column.kind for column in dataset.columns} == {
        "x": "number",
        "z": "number",
        "y": "number",
        "side": "category",
    }
    FRAME.to_csv(tmp_path / "scale.csv", index=False)
    from_file = client.upload(tmp_path / "scale.csv")
    assert from_file.preview(1)[0]["side"] in {"high", "low"}
    assert client.dataset(dataset.id).digest == dataset.digest
    assert dataset.id in {one.id for one in client.datasets()}
    from_bytes = client.upload(b"u,v\n1,2\n3,4\n", media="text/csv")
    from_bytes.delete()
    with pytest.raises(NotFound):
        client.dataset(from_bytes.id)


def test_a_sweep_finds_its_best_job(client: Client) -> None:
    spec = client.fit(LINE, target="y", dev=0.2, epochs=20, optimizer="Adam", wait=True).spec
    body = {
        "name": "rates",
        "spec": {
            part: spec[part] for part in ("data", "model", "loss", "optimizer", "training", "evaluation")
        },
        "parameters": {"/optimizer/lr": {"type": "choice", "values": [0.001, 0.01, 0.1]}},
        "search": {"type": "grid"},
    }
    sweep = client.sweep(body, wait=True)
    assert sweep.status == "succeeded"
    assert sweep.progress.ended == 3
    trials = sweep.trials(sort="objective")
    best = sweep.best
    assert best is not None
    assert trials[0].trial == best.trial
    assert sweep.best_job().id == best.job_id
    assert {job.id for job in sweep.jobs()} == {trial.job_id for trial in trials}
    assert sweep.plot("search").content.startswith(b"<svg")
    assert client.sweep(sweep.id) == sweep
    assert sweep in list(client.sweeps(name="rates"))
    sweep.delete()


def test_groups_have_a_model_each(client: Client) -> None:
    frame = LINE.assign(sensor=["a", "b"] * 30)
    job = client.fit(frame, target="y", features=["x", "z"], data={"group_by": "sensor"}, wait=True)
    assert [group.group for group in job.groups()] == ["a", "b"]
    np.testing.assert_allclose(job.predict(frame), frame.y, rtol=1e-2)


def test_several_targets_are_fitted_together(client: Client) -> None:
    matrix, both = LINE[["x", "z"]].to_numpy(), np.column_stack([LINE.y, -LINE.y])
    job = client.fit(matrix, both, wait=True)
    assert job.targets == ["y0", "y1"]
    np.testing.assert_allclose(job.predict(matrix), both, rtol=1e-2, atol=1e-2)


def test_any_request_can_be_sent(client: Client) -> None:
    assert b'"ok"' in client.request("GET", "/healthz")
    assert "mlp" in [model["name"] for model in client.capabilities()["models"]]


def test_the_same_operations_can_be_awaited(service: Service) -> None:
    async def several() -> list[float]:
        async with AsyncClient(service.url) as client:
            jobs = [await client.fit(LINE, target="y", name="awaited") for _ in range(3)]
            done = await asyncio.gather(*(job.wait() for job in jobs))
            assert [job.id async for job in client.jobs(name="awaited", limit=3)] == [
                job.id for job in jobs[::-1]
            ]
            found = await asyncio.gather(*(job.predict({"x": [0.0], "z": [0.0]}) for job in done))
            dataset = await client.upload(LINE)
            assert (await dataset.preview(2))[0].keys() == {"x", "z", "y"}
            return [one["y"][0] for one in found]

    assert asyncio.run(several()) == pytest.approx([7, 7, 7], rel=1e-3)


def test_a_key_is_sent_and_its_lack_is_told(own_service: Any, tutorial: dict[str, Any]) -> None:  # noqa: ANN401
    service = own_service(FITD_API_KEY="a-key-of-some-length")
    with Client(service.url) as client, pytest.raises(Unauthorized, match="fitd keys"):
        client.submit(tutorial)
    with Client(service.url, api_key="a-key-of-some-length") as client:
        assert client.submit(tutorial, wait=True).status == "succeeded"
