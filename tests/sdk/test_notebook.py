"""What a notebook shows."""

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from fitd_client import Client, answers, notebook
from fitd_client.pictures import Picture

from tests.sdk.test_answers import JOB

EVIL = "<script>alert('x')</script>"


def _parsed(text: str) -> ET.Element:
    """Read it as strictly as XML is: whatever is not closed or not escaped fails."""
    closed = re.sub("<img([^>]*)>", r"<img\1/>", text)
    return ET.fromstring(f"<all>{closed}</all>")  # noqa: S314 - our own


def _texts(text: str) -> str:
    return " ".join(_parsed(text).itertext())


def test_a_job_is_shown_with_its_losses_and_picture(client: Client, tutorial: dict[str, Any]) -> None:
    job = client.submit({**tutorial, "name": EVIL}, wait=True)
    shown = job._repr_html_()
    assert EVIL in _texts(shown)
    assert "<script" not in shown
    assert f"Job {job.id}" in _texts(shown)
    assert "succeeded (completed)" in _texts(shown)
    assert "coefficient of x" in _texts(shown)
    assert _parsed(shown).find(".//img") is not None


def test_a_job_that_waits_is_shown_without_a_picture() -> None:
    shown = notebook.job(answers.Job.model_validate(JOB), None)
    assert "hibernating" in _texts(shown)
    assert "<img" not in shown


def test_a_picture_is_shown_as_an_image_whose_script_would_not_run() -> None:
    picture = Picture("loss", "image/svg+xml", f"<svg>{EVIL}</svg>".encode())
    assert EVIL not in notebook.job(answers.Job.model_validate(JOB), picture)
    assert picture._repr_mimebundle_()["image/svg+xml"] == f"<svg>{EVIL}</svg>"
    assert Picture("loss", "image/png", b"\x89PNG")._repr_mimebundle_()["image/png"] == b"\x89PNG"


def test_a_history_is_thinned_and_has_no_empty_columns() -> None:
    columns = {"epoch": list(range(1, 1001)), "train_loss": [0.5] * 1000, "dev_loss": [None] * 1000}
    history = answers.History.model_validate({"object": "history", "job_id": EVIL, "columns": columns})
    shown = history._repr_html_()
    rows = [[cell.text for cell in row] for row in _parsed(shown).iter("tr")]
    assert rows[0] == ["epoch", "train_loss"]
    assert (rows[1][0], rows[-1][0], len(rows)) == ("1", "1000", 13)
    assert EVIL in _texts(shown)


MODEL = {
    "object": "model",
    "name": "calibration",
    "description": EVIL,
    "versions": 3,
    "latest_version": 3,
    "aliases": {"champion": 2},
    "created_at": "2026-11-22T15:55:40Z",
    "updated_at": "2026-11-22T15:55:40Z",
    "links": {},
}


def test_a_model_is_shown_with_its_aliases() -> None:
    shown = _texts(notebook.model(answers.Model.model_validate(MODEL)))
    assert "champion → 2" in shown
    assert EVIL in shown


@pytest.mark.parametrize("columns", [True, False], ids=["whole", "of a list"])
def test_a_dataset_is_shown_with_its_columns(client: Client, *, columns: bool) -> None:
    dataset = client.upload({EVIL: [1.0, 2.5], "town": ["Bern", "Oslo"]})
    if not columns:
        dataset = next(one for one in client.datasets() if one.id == dataset.id)
    shown = dataset._repr_html_()
    assert f"Dataset {dataset.id}" in _texts(shown)
    assert (EVIL in _texts(shown)) is columns
