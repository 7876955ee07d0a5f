"""The parts of `fitctl` that need no service."""

import csv
import io
import sys
from pathlib import Path

import pytest
from fitd_client import UnreadableData
from fitd_client.answers import History
from fitd_client.cli.composing import asked_of
from fitd_client.cli.curve import Curve, drawn
from fitd_client.cli.delimited import columns_of
from fitd_client.cli.jobs import _show_history
from fitd_client.cli.plain import paragraph, plain
from fitd_client.cli.reading import changes_of, read_table
from fitd_client.cli.screen import Screen
from fitd_client.cli.series import MOST_POINTS, Losses
from fitd_client.cli.session import Chosen, Session
from fitd_client.cli.shown import duration
from fitd_client.fitting import rows_of


def picture(points: list[tuple[float, float]], *, unicode: bool = True, last: int = 3) -> list[str]:
    lines = drawn([Curve(points, "cyan")], width=15, height=4, last=last, unicode=unicode)
    return [line.plain for line in lines]


def test_a_falling_line_goes_from_the_upper_left_to_the_lower_right() -> None:
    assert picture([(1, 3.0), (2, 2.0), (3, 1.0)]) == [
        "       3┤⠑⢄    ",
        "        │  ⠑⢄  ",
        "       1┤    ⠑⢄",
        "         1    3",
    ]


def test_without_braille_there_are_marks() -> None:
    assert picture([(1, 3.0), (3, 1.0)], unicode=False) == [
        "       3+**    ",
        "        |  **  ",
        "       1+    **",
        "         1    3",
    ]


def test_a_long_fall_is_drawn_over_a_logarithm() -> None:
    straight = [line[9:] for line in picture([(1, 3.0), (2, 2.0), (3, 1.0)])]
    assert [line[9:] for line in picture([(1, 1000.0), (2, 31.6), (3, 1.0)])] == straight
    assert [line[9:] for line in picture([(1, 3.0), (2, 1.1), (3, 1.0)])] != straight


def test_a_flat_line_lies_in_the_middle() -> None:
    assert picture([(1, 0.5), (3, 0.5)])[1] == "        │⠤⠤⠤⠤⠤⠤"


def test_nothing_is_drawn_of_nothing() -> None:
    assert picture([]) == []
    assert picture([(1, -1.0)], last=1)[-1].endswith("1    1")


def test_losses_are_thinned_out_and_the_newest_is_kept() -> None:
    losses = Losses()
    for start in range(1, 20_001, 500):
        epochs = list(range(start, start + 500))
        losses.add({"epoch": epochs, "train_loss": [1 / n for n in epochs], "dev_loss": [None] * 500})
    points = losses.points("train")
    assert len(points) <= MOST_POINTS + 1
    assert (points[0], points[-1]) == ((1, 1.0), (20_000, 1 / 20_000))
    assert losses.points("dev") == []
    assert losses.newest == {"train": 1 / 20_000, "dev": None}


def test_a_new_attempt_takes_the_place_of_what_it_repeats() -> None:
    losses = Losses()
    losses.add({"epoch": [1, 2, 3], "train_loss": [9.0, 8.0, float("nan")]})
    losses.add({"epoch": [2, 3], "train_loss": [7.0, 6.0]})
    assert losses.points("train") == [(1, 9.0), (2, 7.0), (3, 6.0)]


def test_csv_without_packages_has_numbers_truths_and_texts() -> None:
    content = "\ufeffa;b;c;d;e\n1;2.5;true;x;1_0\n;nan;False;;007\n".encode()
    found = columns_of(content, category=["e"])
    assert found["a"] == [1, None]
    assert found["b"][0] == 2.5
    assert (found["c"], found["d"], found["e"]) == ([True, False], ["x", None], ["1_0", "007"])
    with pytest.raises(UnreadableData, match="Row 3 has 1 fields; there are 2 names"):
        columns_of(b"a,b\n1,2\n3\n")
    with pytest.raises(UnreadableData, match="no rows"):
        columns_of(b"")


@pytest.mark.parametrize("content", [b"a,b\n1," + b"x" * 200_000, b"a,b\r1,2\r"], ids=["long", "old Mac"])
def test_what_is_no_csv_is_told(content: bytes) -> None:
    # Others in this process may have raised it.
    usual = csv.field_size_limit(131_072)
    try:
        with pytest.raises(UnreadableData, match="no CSV"):
            columns_of(content)
    finally:
        csv.field_size_limit(usual)


@pytest.mark.parametrize("line", ["7", '"text"', "[1]"])
def test_json_lines_that_are_no_rows_are_told(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"a": 1}}\n{line}\n')
    with pytest.raises(UnreadableData, match="Line 2 is no JSON object"):
        read_table(f"{tmp_path}/a.jsonl")


def test_tables_of_other_forms_are_read(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import feather, parquet

    table = pa.table({"a": [1, 2], "b": ["x", None]})
    parquet.write_table(table, f"{tmp_path}/a.parquet")
    feather.write_feather(table, f"{tmp_path}/a.arrow")
    for name in ("a.parquet", "a.arrow"):
        found = read_table(f"{tmp_path}/{name}", category=["a"])
        assert found.to_pydict() == {"a": ["1", "2"], "b": ["x", None]}
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"b": "x"}\n')
    assert read_table(f"{tmp_path}/a.jsonl", category=["a"]) == [{"a": "1", "b": None}, {"a": None, "b": "x"}]
    with pytest.raises(UnreadableData, match="cannot be read as parquet"):
        read_table(f"{tmp_path}/a.jsonl", form="parquet")


def test_changes_are_places_and_values() -> None:
    found = changes_of(["a.b=1", "/a/c=[1, 2]", "name=two words=3", "a.d=null", 'q="1"'])
    assert found == {"a": {"b": 1, "c": [1, 2], "d": None}, "name": "two words=3", "q": "1"}
    with pytest.raises(UnreadableData, match="`a` has a value already"):
        changes_of(["a=1", "a.b=2"])


def test_what_the_target_chooses_gives_way() -> None:
    rows = rows_of({"x": [1.0, 2.0], "y": [0.1, 0.2]}, target="y")
    base = {"model": {"type": "mlp", "hidden": [3]}, "preprocessing": {"scaling": "min_max"}}
    found = asked_of(
        rows, options={"model": "mlp", "epochs": 3}, base=base, changes={"model": {"dropout": 0.1}}
    )
    assert found["model"] == {"type": "mlp", "hidden": [3], "dropout": 0.1}
    assert found["training"] == {"epochs": 3, "batch_size": "full"}
    assert found["preprocessing"] == {"scaling": "min_max", "target_scaling": "standardize"}
    other = asked_of(rows, options={"model": "linear", "scaling": "none"}, base=base, changes={})
    assert other["model"] == {"type": "linear"}
    assert other["preprocessing"] == {"scaling": "none", "target_scaling": "none"}


def test_text_from_elsewhere_is_written_out() -> None:
    assert plain("a\x1b]0;title\x07\n\u2066b\ud800") == r"a\x1b]0;title\x07\n\u2066b\ud800"
    assert plain("日本 é 👩\u200d🔬") == "日本 é 👩\u200d🔬"
    assert paragraph("one\n\ttwo") == "one\n\\ttwo"
    assert plain(None) == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_file_of_the_service_commands_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    screen = Screen(as_json=False, no_color=False, quiet=False)
    screen.content(b"side\r\nhigh\x1b[31m\n")
    assert sys.stdout.getvalue() == "side\nhigh\\x1b[31m\n"  # type: ignore[attr-defined]
    with pytest.raises(UnreadableData, match="write it into a file with -o"):
        screen.content(b"\x93NUMPY\xff")


def test_the_history_of_a_job_that_has_not_begun_is_a_heading(capsys: pytest.CaptureFixture[str]) -> None:
    columns: dict[str, list[float | None]] = {"epoch": [], "train_loss": [], "dev_loss": []}
    session = Session(Chosen(), Screen(as_json=False, no_color=False, quiet=False))
    _show_history(session, History(object="history", job_id="job_a", columns=columns))
    assert capsys.readouterr().out == "epoch\n"


@pytest.mark.parametrize(("seconds", "told"), [(0, "0:00"), (75.4, "1:15"), (3723, "1:02:03")])
def test_times_are_written_as_clocks_do(seconds: float, told: str) -> None:
    assert duration(seconds) == told
