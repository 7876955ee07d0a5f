"""The page of all problem codes, and the search of the source for codes that it does not explain."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from generating.codes import ADVICE_CODES, FIELD_CODES, FILE_CODES, JOB_CODES
from generating.markdown import table

__all__ = ["problems_page"]

Found = Mapping[str, set[str]]
_CODE = re.compile(r"[a-z]+(_[a-z0-9]+)+")


def problems_page(source: Path) -> str:
    """Describe every code that an error can carry.

    Args:
        source: The folder of the package that is searched for codes.
    """
    found = _codes_in(source)
    _compare("FIELD_CODES", FIELD_CODES, found["field"] | _mapped_codes())
    _compare("FILE_CODES", FILE_CODES, found["file"])
    # A group of the optimizer is compared with the network where it is built: its problems then end the job.
    _compare("JOB_CODES", JOB_CODES, found["job"] | {"unmatched_group", "missing"})
    _compare("ADVICE_CODES", ADVICE_CODES, found["advice"])
    return "\n".join(
        [
            "# Problems",
            "",
            "Errors are `application/problem+json` (RFC 9457). `code` is stable: programs read it. `detail`, `message` and",
            "`hint` are for people and may change. A body or query with several problems gets all of them at once in",
            "`errors`, each with a JSON Pointer (RFC 6901) into the body, or the name of the query parameter or header.",
            "",
            "## What an answer says",
            "",
            table(("code", "status", "meaning", "hint"), sorted(_answer_rows())),
            "",
            "## What is wrong with a field",
            "",
            "`errors[].code`:",
            "",
            table(("code", "meaning"), _code_rows(FIELD_CODES)),
            "",
            "## What is wrong with a file",
            "",
            "`errors[].code` of `POST /v1/datasets`. The message tells line and column.",
            "",
            table(("code", "meaning"), _code_rows(FILE_CODES)),
            "",
            "## Why a job failed",
            "",
            "`error.code` of a job whose `status` is `failed`, and of `result.warnings`:",
            "",
            table(("code", "meaning"), _code_rows(JOB_CODES)),
            "",
            "## Advice",
            "",
            "`warnings[].code` of `POST /v1/jobs/validate`. The job would run all the same.",
            "",
            table(("code", "meaning"), _code_rows(ADVICE_CODES)),
        ]
    )


def _code_rows(codes: Mapping[str, str]) -> list[tuple[str, ...]]:
    return [(f"`{code}`", meaning) for code, meaning in sorted(codes.items())]


def _answer_rows() -> Iterator[tuple[str, ...]]:
    from service.api import problems
    from service.exceptions import TrainingFailed

    for error, status in problems.STATUS_OF.items():
        if error is not TrainingFailed:  # Its codes are those of a job.
            meaning = (error.__doc__ or "").split("\n", maxsplit=1)[0]
            yield f"`{error.code}`", str(status), meaning, error.hint
    yield "`invalid_parameter`", str(422), FIELD_CODES["invalid_parameter"], ""
    yield "`not_found`", str(404), "There is no such path.", "`GET /openapi.json` lists every path."
    yield "`method_not_allowed`", str(405), "The path does not take this method.", "See the Allow header."
    yield "`http_error`", "4xx", "Anything else that the HTTP layer refuses.", ""
    yield "`internal_error`", str(500), "The service failed at this request; its log has the details.", ""


def _mapped_codes() -> set[str]:
    from service.spec import problems

    return {*problems._CODES.values(), "wrong_type"}  # noqa: SLF001 - the table of pydantic's names


def _codes_in(source: Path) -> Found:
    """Find the codes that the source writes down, by what they are told of."""
    found: dict[str, set[str]] = {"field": set(), "file": set(), "job": set(), "advice": set()}
    for path in source.rglob("*.py"):
        kind = "file" if path.parent.name == "tables" else "field"
        tree = ast.parse(path.read_text("utf-8"))
        functions = (f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef))
        for node in (n for f in functions for n in ast.walk(f)):
            for target, codes in _codes_of(node, kind):
                found[target] |= codes
    return found


def _codes_of(node: ast.AST, kind: str) -> Iterator[tuple[str, set[str]]]:
    """Give the codes in one node: in calls, in variables called `code`, in error objects, in what is returned."""
    match node:
        case ast.Call(func=ast.Name(id="Problem" | "Finding"), args=[_, code, *_]):
            yield kind, _texts(code)
        case ast.Call(func=ast.Name(id="PydanticCustomError"), args=[code, *_]):
            yield kind, _texts(code)
        case ast.Call(func=ast.Name(id="TrainingFailed"), args=[code, *_]):
            yield "job", _texts(code)
        case ast.Call(func=ast.Name(id="ShapeError"), keywords=keywords):
            yield kind, {text for word in keywords if word.arg == "code" for text in _texts(word.value)}
        case ast.FunctionDef(name="__init__", args=ast.arguments(kwonlyargs=names, kw_defaults=defaults)):
            pairs = zip(names, defaults, strict=True)
            yield kind, {t for name, value in pairs if name.arg == "code" and value for t in _texts(value)}
        case ast.Assign(targets=[ast.Name(id="code")], value=value):
            yield kind, _texts(value)
        case ast.Tuple(elts=[ast.Constant(value=str(text)), _, _]) if _CODE.fullmatch(text):
            yield kind, {text}
        case ast.Dict(keys=keys, values=values):
            named = {k.value: v for k, v in zip(keys, values, strict=True) if isinstance(k, ast.Constant)}
            # A cause of a change of state has a code and no hint: it is no problem.
            if "code" in named and ("pointer" in named or "hint" in named):
                yield "advice" if "pointer" in named else "job", _texts(named["code"])


def _texts(node: ast.expr) -> set[str]:
    """Give the texts that an expression can be: itself, or the two sides of an `if`."""
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.IfExp(body=one, orelse=other):
            return _texts(one) | _texts(other)
        case _:
            return set()


def _compare(name: str, written: Mapping[str, str], found: set[str]) -> None:
    if written.keys() != found:
        new, gone = sorted(found - written.keys()), sorted(written.keys() - found)
        raise SystemExit(f"docs/generate.py: {name} lacks {new} and has {gone}, which the source does not")
