"""The commands of the page about `fitctl`, one after the other."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import ROOT, TUTORIAL, Service
from tests.sdk.fitctl import Fitctl

PAGE = (ROOT / "docs" / "how-to" / "use-fitctl.md").read_text("utf-8")
COMMANDS = re.findall(r"^\$ fitctl (.*)$", PAGE, flags=re.MULTILINE)
FILES = {
    "data.csv": "x,y\n" + "".join(f"{n / 20},{n * n / 400 + 0.01 * (n % 3)}\n" for n in range(40)),
    "more.csv": "x\n0.5\n",
    "spec.json": json.dumps(TUTORIAL),
    "sweep.json": json.dumps(
        {
            "spec": {**TUTORIAL, "training": {"epochs": 20, "batch_size": "full"}},
            "parameters": {"/optimizer/lr": {"type": "choice", "values": [0.01, 0.1]}},
            "search": {"type": "grid"},
            "objective": {"monitor": "train_loss"},
        }
    ),
}


def test_the_commands_of_the_page_do_what_it_says(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    fitctl = Fitctl(service.url)
    for command in COMMANDS:
        if command.startswith("export ") and not (ROOT / "service" / "exports").exists():
            continue
        before = re.split(r" [|>] ", command)[0]
        assert fitctl(*shlex.split(before)).out or "failed" in before or "-output" in before
    assert len(COMMANDS) > 20
    assert (tmp_path / "loss.svg").read_bytes().startswith(b"<svg")
    assert (tmp_path / "predicted.csv").read_text().startswith("x,y\n0.5,")
