"""What the benchmarks compare is the same training, and what they write is a table."""

import dataclasses
from pathlib import Path

import pytest
import torch

from benchmarks import engines, page, peers, picture
from benchmarks.engines import Measured, difference
from benchmarks.jobs import jobs
from benchmarks.loops import loop
from service.plots.svg import render_svg
from service.training.trainer import Trainer

NAMES = ["J1", "J2", "J3", "J4", "J5", "J6a", "J6b", "J7"]
TINY = {job.name: job for job in jobs(quick=True)}


@pytest.fixture(scope="module")
def measured() -> list[Measured]:
    return list(engines.measure(rounds=1, quick=True))


def columns_of(table: str) -> set[int]:
    """How many cells the lines of a table have."""
    return {line.count("|") for line in table.splitlines() if line.startswith("|")}


def test_loop_and_engines_train_the_same(measured: list[Measured]) -> None:
    assert [one.job.name for one in measured] == NAMES
    for one in measured:
        assert one.differences["auto float64"].absolute <= 1e-10, one.job.name
        if one.job.members == 1:
            assert one.differences["eager float64"].absolute <= 1e-10, one.job.name


@pytest.mark.parametrize("name", ["J1", "J2", "J4"])
def test_another_seed_or_another_rate_would_be_noticed(name: str) -> None:
    job = TINY[name]
    fit = Trainer(job.plan(dtype="float64"), job.frame).fit()
    for section, change in (("training", {"seed": 1}), ("optimizer", {"lr": 0.02})):
        other = dataclasses.replace(job, spec={**job.spec, section: {**job.spec[section], **change}})
        state = loop(other, *other.tensors(torch.float64)).state_dict()
        assert difference([fit.state_dict], [state]).absolute > 1e-6


def test_members_of_a_stack_differ_in_seed_and_rate() -> None:
    specs = [member.spec for member in TINY["J6b"].each()]
    assert [spec["training"]["seed"] for spec in specs] == [0, 1, 2]
    assert [spec["optimizer"]["lr"] for spec in specs] == pytest.approx([0.025, 0.05, 0.075])


def test_the_report_has_a_line_for_each_job(measured: list[Measured]) -> None:
    times, equality, _ = engines.report(measured).split("\n\n")
    for table in (times, equality):
        assert len(columns_of(table)) == 1
        assert len(table.splitlines()) == 2 + len(NAMES)


def test_the_training_takes_a_part_of_the_whole(measured: list[Measured]) -> None:
    for one in measured:
        for engine in {"eager", "auto"} & set(one.seconds):
            # A stack need not consist of loops: then only the whole is known.
            training = one.seconds.get(f"{engine} training", 0.0)
            assert training < one.seconds[engine]
            assert training > 0 or one.job.members > 1


def test_the_picture_names_each_job(measured: list[Measured]) -> None:
    svg = render_svg(picture.speedups(measured)).decode()
    assert all(f">{name}: " in svg for name in NAMES)


def test_scikit_learn_is_measured_on_the_same_rows() -> None:
    table = peers.section(rounds=1, quick=True)
    assert len(columns_of(table)) == 1
    solved = next(line for line in table.splitlines() if "LinearRegression" in line)
    assert float(solved.split("|")[-2]) == pytest.approx(
        0.0625, rel=0.1
    )  # The noise of the tutorial: 0.25 squared.


def test_a_section_replaces_itself_alone(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text(
        "# Title\n<!-- a: written by make bench -->\nold\n<!-- end of a -->\nwords\n"
        "<!-- b: written by make bench -->\nkept\n<!-- end of b -->\n"
    )
    for _ in range(2):
        page.write(file, {"a": "new\n"})
        assert file.read_text() == (
            "# Title\n<!-- a: written by make bench -->\n\nnew\n\n<!-- end of a -->\nwords\n"
            "<!-- b: written by make bench -->\nkept\n<!-- end of b -->\n"
        )
