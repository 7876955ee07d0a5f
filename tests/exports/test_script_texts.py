"""Texts of the caller stay texts in a script, whatever is in them."""

import ast
from typing import Any

import pytest

from service.exceptions import ExportFailed
from service.exports.script import writer
from service.exports.script.python import comment, listed, literal
from service.exports.script.writer import script_of
from service.training.frames import load
from tests.exports.subjects import LINE, MSE, ROWS, spec, subject_of

EVIL = "dev\nprint('INJECTED')  #"
HIDDEN = "\x1b[31m\x07\u2028\u202e"
LONG = [f"a category with blanks, number {place}" for place in range(12)]


def script(body: dict[str, Any]) -> str:
    subject = subject_of(body)
    return script_of(subject, load(subject.spec().data), url='http://here"; print("INJECTED")')


def called_with(text: str, argument: str) -> bool:
    calls = [one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.Call)]
    return any(isinstance(a, ast.Constant) and a.value == argument for one in calls for a in one.args)


def parted(*labels: str) -> dict[str, Any]:
    return {**LINE, "part": [labels[place % len(labels)] for place in range(ROWS)]}


def by_part(train: list[str], dev: list[str]) -> dict[str, Any]:
    return {"split": {"type": "column", "column": "part", "train": train, "dev": dev}}


def test_a_label_of_a_split_is_no_code() -> None:
    text = script(spec(parted("train", EVIL), evaluation=by_part(["train"], [EVIL])))
    assert not called_with(text, "INJECTED")
    assert f"# {literal(EVIL)}" in text


def test_a_script_has_nothing_that_is_not_printable() -> None:
    text = script(spec({**LINE, "k" + HIDDEN: [("u", HIDDEN)[place % 2] for place in range(ROWS)]}))
    assert all(line.isprintable() for line in text.split("\n"))
    assert all(line.isprintable() for line in comment(EVIL + HIDDEN + "\x00\r"))


def test_texts_with_blanks_are_not_broken() -> None:
    names = {f"a column with quite some blanks in its name {place}": LINE["a"] for place in range(6)}
    columns = {**names, "part": [LONG[place % len(LONG)] for place in range(ROWS)], "y": LINE["y"]}
    ast.parse(script(spec(columns, evaluation=by_part(LONG[:6], LONG[6:]))))


@pytest.mark.parametrize("text", [*LONG, 'a "quoted" \\ text ' * 9, "it's 'so'\n " * 12, HIDDEN * 30])
def test_a_list_of_texts_is_read_as_it_was(text: str) -> None:
    values = [text, "two  blanks", text]
    lines = listed("found = [", map(literal, values), "]", indent="")
    assert ast.literal_eval("\n".join(lines).removeprefix("found = ")) == values


def test_what_python_cannot_read_is_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "compare_lines", lambda _: ["sys.exit(0 if"])
    with pytest.raises(ExportFailed, match="is no Python"):
        script(spec(LINE, loss=MSE))
