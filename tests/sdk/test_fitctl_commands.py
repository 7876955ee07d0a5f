"""The commands of `fitctl` against the service, where no terminal is needed."""

import csv
import io
import json
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from fitd_client import cli

from tests.conftest import TUTORIAL, Service
from tests.sdk.fitctl import Fitctl

ROWS = [(n / 10, (n * 7) % 5, 5 * n / 10 - 2 * ((n * 7) % 5) + 7) for n in range(30)]
TABLE = "x,z,y\n" + "".join(f"{x},{z},{y}\n" for x, z, y in ROWS)
LONG = ("--set", "training.epochs=1000000", "--set", "training.engine=eager")
SWEEP = {
    "spec": {**TUTORIAL, "training": {"epochs": 20, "batch_size": "full", "seed": 0}},
    "parameters": {"/optimizer/lr": {"type": "choice", "values": [0.01, 0.1]}},
    "search": {"type": "grid"},
    "objective": {"monitor": "train_loss"},
}


@pytest.fixture(scope="module")
def fitctl(service: Service) -> Fitctl:
    return Fitctl(service.url)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fitctl") / "data.csv"
    path.write_text(TABLE)
    return path


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fitctl") / "spec.json"
    path.write_text(json.dumps(TUTORIAL))
    return path


@pytest.fixture(scope="module")
def line(fitctl: Fitctl, data: Path) -> Any:  # noqa: ANN401 - a job
    return fitctl("fit", data, "--target", "y", "--name", "line", "--wait", "--json").json


def test_a_fit_finds_the_line_and_says_so_in_words(fitctl: Fitctl, line: Any) -> None:  # noqa: ANN401
    assert line["result"]["coefficients"] == pytest.approx({"x": 5, "z": -2}, rel=1e-3)
    facts = dict(row.split("\t", 1) for row in fitctl("show", line["id"]).out.splitlines())
    assert (facts["status"], facts["coefficients"]) == ("succeeded (completed)", "x 5, z -2")


def test_a_fit_that_is_not_waited_for_writes_the_id_alone(fitctl: Fitctl, data: Path) -> None:
    ran = fitctl("fit", data, "-t", "y")
    job_id = ran.out.strip()
    assert ran.err.endswith(f"fitctl watch {job_id} follows it.\n")
    waited = fitctl("watch", job_id, "-q")
    assert waited.out.splitlines()[-1] == f"{job_id} succeeded (completed)"


def test_options_win_over_the_file_and_changes_over_both(fitctl: Fitctl, tmp_path: Path) -> None:
    base = tmp_path / "base.json"
    base.write_text(
        json.dumps(
            {
                "data": {"target": "y"},
                "model": {"type": "mlp", "hidden": [8]},
                "training": {"epochs": 7, "seed": 3},
                "loss": {"type": "HuberLoss"},
            }
        )
    )
    options = (
        "--epochs",
        5,
        "--model",
        "mlp",
        "--loss",
        "L1Loss",
        "--dev",
        0.2,
        "--lr",
        0.02,
        "--batch-size",
        10,
    )
    changes = ("--set", "/model/hidden=[4, 4]", "--set", "training.seed=4", "--metadata", "rig=north")
    given = ("--spec", base, *options, *changes, "--wait", "--json")
    job = fitctl("fit", "-", *given, stdin=TABLE).json
    found = job["spec"]
    assert found["model"]["hidden"] == [4, 4]
    assert found["loss"]["type"] == "L1Loss"
    assert (found["training"]["epochs"], found["training"]["seed"]) == (5, 4)
    assert (found["training"]["batch_size"], found["optimizer"]["lr"]) == (10, 0.02)
    assert job["metadata"] == {"rig": "north"}
    assert job["result"]["dev_loss"] is not None


def test_a_spec_is_validated_and_submitted(fitctl: Fitctl, spec: Path) -> None:
    assert "parameters\t2" in fitctl("validate", spec).out
    job = fitctl("submit", "-", "--set", "training.epochs=9", "--wait", "--json", stdin=spec.read_text()).json
    assert job["progress"]["epoch"] == 9
    again = fitctl("rerun", job["id"], "--set", "training.epochs=4", "--wait", "--json").json
    assert (again["rerun_of"], again["progress"]["epoch"]) == (job["id"], 4)


def test_the_same_key_is_the_same_job(fitctl: Fitctl, spec: Path) -> None:
    key = uuid.uuid4().hex
    first, second = (fitctl("submit", spec, "--key", key, "-q").out for _ in range(2))
    assert first == second


def test_jobs_are_listed_with_filters_and_a_limit(fitctl: Fitctl, line: Any) -> None:  # noqa: ANN401
    header, row = fitctl("ls", "--name", "line", "--status", "succeeded", "--limit", 1).out.splitlines()
    assert header.split("\t")[:3] == ["id", "status", "name"]
    assert row.split("\t")[:3] == [line["id"], "succeeded", "line"]
    assert fitctl("ls", "-q", "-n", "line", "-l", 1).out == f"{line['id']}\n"


def test_the_history_comes_as_a_table_as_csv_and_thinned_out(fitctl: Fitctl, line: Any) -> None:  # noqa: ANN401
    epochs = line["progress"]["epoch"]
    assert len(fitctl("history", line["id"]).out.splitlines()) <= 21
    rows = list(csv.DictReader(io.StringIO(fitctl("history", line["id"], "--csv").out)))
    assert [int(row["epoch"]) for row in rows] == list(range(1, epochs + 1))
    found = fitctl("history", line["id"], "--every", 500, "--json").json
    assert found["columns"]["epoch"] == list(range(500, epochs + 1, 500))


def test_predictions_are_csv_beside_columns_that_are_kept(fitctl: Fitctl, line: Any, tmp_path: Path) -> None:  # noqa: ANN401
    rows = "row,z,x\na,0,1\nb,1,0\n"
    ran = fitctl("predict", line["id"], "-", "--keep", "row", stdin=rows)
    found = list(csv.DictReader(io.StringIO(ran.out)))
    assert [row["row"] for row in found] == ["a", "b"]
    assert [float(row["y"]) for row in found] == pytest.approx([12, 5], rel=1e-3)
    written = tmp_path / "found.csv"
    assert fitctl("predict", line["id"], "-", "-o", written, stdin=rows).out == ""
    assert written.read_text().splitlines()[0] == "y"


def test_classes_are_predicted_with_probabilities(fitctl: Fitctl) -> None:
    rows = "zip,side\n" + "1,left\n2,right\n" * 20
    job = fitctl("fit", "-", "-t", "side", "--category", "zip", "--wait", "--json", stdin=rows).json
    assert job["spec"]["loss"]["type"] == "BCEWithLogitsLoss"
    asked = ("predict", job["id"], "-", "--category", "zip")
    assert fitctl(*asked, stdin="zip\n2\n1\n").out == "side\nright\nleft\n"
    assert fitctl(*asked, "--probabilities", stdin="zip\n2\n").out.startswith("left,right\n")


def test_a_picture_is_written(fitctl: Fitctl, line: Any, tmp_path: Path) -> None:  # noqa: ANN401
    drawn = tmp_path / "loss.png"
    assert fitctl("plot", line["id"], "loss", "-o", drawn).out == f"{drawn}\n"
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert fitctl("plot", line["id"]).out.startswith("<svg")
    fitctl("plot", line["id"], "-o", "loss.pdf", code=2)


def test_jobs_are_paused_resumed_cancelled_and_removed(fitctl: Fitctl, spec: Path) -> None:
    first, second = (fitctl("submit", spec, *LONG, "-q").out.strip() for _ in range(2))
    assert fitctl("pause", first).out.split()[1] in {"pausing", "paused"}
    assert fitctl("resume", first).out.split()[1] in {"queued", "running"}
    ran = fitctl("cancel", first, "job_none", second, code=3)
    assert [row.split()[0] for row in ran.out.splitlines()] == [first, second]
    assert "job_not_found" in ran.err
    ended = fitctl("watch", first, code=1)
    assert "It has ended cancelled. (cancelled)" in ended.err
    fitctl("watch", second, code=1)
    assert fitctl("rm", first, second, "--json").json == [
        {"id": first, "status": "removed"},
        {"id": second, "status": "removed"},
    ]
    fitctl("show", first, code=3)


def test_a_sweep_is_waited_for_and_its_trials_listed(fitctl: Fitctl) -> None:
    ran = fitctl("sweep", "-", "--wait", stdin=json.dumps(SWEEP))
    facts, trials = ran.out.split("\n\n")
    assert "status\tsucceeded" in facts
    assert len(trials.splitlines()) == 3
    sweep_id = facts.splitlines()[0].split("\t")[1]
    found = fitctl("watch", sweep_id, "--json").json
    assert len(found["trial_list"]) == 2
    assert fitctl("show", sweep_id, "-q").out == f"{sweep_id}\n"


def test_datasets_are_uploaded_shown_and_removed(fitctl: Fitctl, data: Path) -> None:
    dataset_id = fitctl("datasets", "upload", data, "--name", "rows").out.strip()
    assert f"{dataset_id}\t30\t3\trows" in fitctl("datasets", "ls").out
    assert "z\tnumber" in fitctl("datasets", "show", dataset_id).out
    assert dataset_id in fitctl("datasets", "-q").out
    assert fitctl("datasets", "rm", dataset_id).out == f"{dataset_id} removed\n"


def test_json_is_all_that_is_written_and_nothing_else(
    fitctl: Fitctl,
    line: Any,  # noqa: ANN401
    data: Path,
    spec: Path,
) -> None:
    job_id = line["id"]
    commands: list[tuple[Any, ...]] = [
        ("fit", data, "-t", "y"),
        ("submit", spec),
        ("validate", spec),
        ("ls",),
        ("show", job_id),
        ("history", job_id, "--limit", 5),
        ("predict", job_id, data),
        ("rerun", job_id),
        ("plot", job_id, "-o", data.with_suffix(".svg")),
        ("datasets",),
        ("datasets", "ls"),
        ("datasets", "upload", data),
        ("models",),
        ("capabilities",),
        ("capabilities", "losses"),
    ]
    # The option may stand at any place.
    for place, command in enumerate(commands):
        ran = fitctl("--json", *command) if place % 2 else fitctl(*command, "--json")
        assert isinstance(ran.json, dict | list)
        assert ran.err == ""


def test_a_stream_is_json_lines(fitctl: Fitctl, line: Any) -> None:  # noqa: ANN401
    events = [json.loads(one) for one in fitctl("watch", line["id"], "--json").out.splitlines()]
    assert events[0]["type"] == "status"
    assert (events[-1]["status"], events[-1]["terminal"]) == ("succeeded", True)
    assert next(event["columns"]["epoch"][0] for event in events if event["type"] == "history") == 1


def test_a_failed_job_ends_with_1_and_its_reason(fitctl: Fitctl, data: Path) -> None:
    asked = ("fit", data, "-t", "y", "--optimizer", "SGD", "--lr", 1000, "--epochs", 100)
    ran = fitctl(*asked, "--set", "training.engine=eager", "--watch", code=1)
    assert "(diverged)" in ran.err
    assert "running" in ran.err
    assert "status\tfailed" in ran.out


def test_a_refused_spec_ends_with_2_places_and_hints(fitctl: Fitctl, data: Path) -> None:
    asked = ("fit", data, "-t", "y", "--loss", "MSELos", "--set", "optimizer.momentun=1")
    ran = fitctl(*asked, code=2)
    assert ran.out == ""
    assert "/loss/type: `MSELos` is not known here. (unknown_name) Did you mean `MSELoss`?" in ran.err
    told = json.loads(fitctl(*asked, "--json", code=2).err)
    assert [problem["pointer"] for problem in told["error"]["problems"]] == [
        "/loss/type",
        "/optimizer/momentun",
    ]
    assert told["exit_code"] == 2


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("fit", "no-such-file.csv", "-t", "y"), "no-such-file.csv"),
        (("fit", "-"), "name its column with --target"),
        (("fit", "-", "-t", "w"), "There is no column `w`; there are `x`, `z`, `y`."),
        (("fit", "-", "-t", "y", "--set", "lr=1"), "--set optimizer.lr=…"),
        (("fit", "-", "-t", "y", "--set", "lr"), "there is no `=` in it"),
        (("fit", "-", "-t", "y", "--spec", "-"), "but not both"),
        (("submit", "-"), "is no JSON"),
        (("fit", "-", "-t", "y", "--format", "xls"), "There is no form `xls`"),
        (("nothing",), "No such command"),
        (("ls", "--limit", "0"), "--limit"),
        (("capabilities", "cakes"), "There is no section 'cakes'"),
    ],
)
def test_wrong_usage_ends_with_2(fitctl: Fitctl, args: tuple[str, ...], told: str) -> None:
    ran = fitctl(*args, stdin=TABLE, code=2)
    assert told in ran.err
    assert ran.out == ""


def test_no_connection_ends_with_4(fitctl: Fitctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fitd_client.wire.Retries.pause", lambda *_, **__: None)
    for url in ("http://127.0.0.1:1", "nonsense"):
        assert "fitctl: " in fitctl("--url", url, "ls", code=4).err


def test_a_time_that_is_over_ends_with_5_and_the_job_goes_on(fitctl: Fitctl, spec: Path) -> None:
    ran = fitctl("submit", spec, *LONG, "--wait", "--timeout", 0.3, code=5)
    job_id = next(word for word in ran.err.split() if word.startswith("job_"))
    assert "The job goes on" in fitctl("watch", job_id, "--timeout", 0.3, code=5).err
    assert fitctl("show", job_id, "--json").json["terminal"] is False
    fitctl("cancel", job_id)


def test_names_do_not_command_the_terminal(fitctl: Fitctl, spec: Path) -> None:
    name = "\x1b[31m[red]é :smile:\u202e\x9b2J"
    job_id = fitctl("submit", spec, "-q", "--set", f"name={json.dumps(name)}").out.strip()
    shown = r"\x1b[31m[red]é :smile:\u202e\x9b2J"
    for args in (("ls", "-l", 5), ("show", job_id)):
        out = fitctl(*args).out
        assert shown in out
        assert not {"\x1b", "\x9b", "\u202e"} & set(out)
    assert fitctl("show", job_id, "--json").json["name"] == name
    assert "\x1b" not in fitctl("show", "job_\x1b[31m", code=3).err


def test_the_last_job_has_a_short_name(fitctl: Fitctl, spec: Path) -> None:
    job_id = fitctl("submit", spec, "-q").out.strip()
    for last in ("@last", "-"):
        assert fitctl("show", last, "--json").json["id"] == job_id


def test_ids_are_completed(fitctl: Fitctl, line: Any) -> None:  # noqa: ANN401
    asked = {
        "_FITCTL_COMPLETE": "complete_bash",
        "COMP_WORDS": f"fitctl show {line['id'][:12]}",
        "COMP_CWORD": "2",
    }
    assert fitctl(**asked).out.split() == [line["id"]]
    nowhere = {**asked, "FITD_URL": "http://127.0.0.1:1"}
    assert fitctl(**nowhere).out.strip() == ""


def test_without_its_packages_it_says_how_to_install_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("fitd_client.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit) as ended:
        cli.run()
    assert ended.value.code == 2
    assert "pip install 'fitd-client[cli]'" in capsys.readouterr().err
