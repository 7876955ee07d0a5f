"""Write the reference pages that follow from the code: settings, spec, problems, command line.

    python docs/generate.py            writes the pages
    python docs/generate.py --check    exits 1 if a page is not what the code says

`--check` also makes sure that http-api.md mentions every path of the OpenAPI document.
"""

import argparse
import ast
import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent
REFERENCE = DOCS / "reference"
sys.path.insert(0, str(ROOT))

Schema = Mapping[str, Any]

NOTE = "<!-- Written by docs/generate.py from the code. Change the code, then run the script again. -->\n"

KINDS = {
    "models": ("model", "Models", "`model` names what is fitted."),
    "losses": ("loss", "Losses", "`loss` names what is made small: `torch.nn.<type>`, averaged over the rows of a step."),
    "optimizers": ("optimizer", "Optimizers", "`optimizer` names how: `torch.optim.<type>`, with torch's own parameters and defaults."),
    "training": ("training", "Training", "`training` says how long, in which portions and on what."),
    "data": ("data", "Data", "`data` says where the rows come from."),
    "distributions": ("data.features.<name>", "Distributions of a synthetic feature", "Each feature of synthetic data has one."),
    "noise": ("data.noise", "Noise of a synthetic target", "Left out, or null: no noise."),
}  # fmt: skip
"""The sections of spec.md: place in the spec, heading, first sentence."""

FIELD_CODES = {
    "constant_column": "A column, or the target's formula, has the same value in every row.",
    "data_not_finite": "The target's formula gives NaN or infinity somewhere in the features' ranges.",
    "duplicate_column": "Two columns have one name, or a feature is listed twice.",
    "empty_data": "There are no columns or no rows.",
    "incompatible_fields": "Two fields of the spec do not go together.",
    "incompatible_parameters": "Two query parameters do not go together.",
    "invalid_expression": "The target's formula is not plain arithmetic.",
    "invalid_json": "The body is not valid JSON.",
    "invalid_parameter": "A query parameter, a header or a part of the path is not what it must be.",
    "limit_exceeded": "The job is larger than the operator allows.",
    "missing": "A required field, column or feature is not there.",
    "not_finite": "NaN or Infinity was sent where JSON has no such number.",
    "out_of_range": "A number is outside its bounds.",
    "ragged_columns": "The columns differ in length.",
    "ragged_rows": "The rows do not all have the same columns.",
    "target_leak": "The target is listed among the features.",
    "too_few_rows": "A fit needs at least two rows.",
    "too_long": "A text, list or object is longer than allowed.",
    "too_short": "A text, list or object is shorter than allowed.",
    "unknown_column": "There is no column of this name.",
    "unknown_parameter": "The path has no query parameter of this name.",
    "unknown_cursor": "`after` is not the id of a job that is still there.",
    "unknown_field": "The spec has no field of this name.",
    "unknown_name": "There is no model, loss, optimizer or choice of this name.",
    "wrong_type": "The value is not of the type that the field has.",
}
JOB_CODES = {
    "data_not_finite": "The rows that were drawn or computed hold NaN or infinity.",
    "device_unavailable": "The worker does not have the device that the job asks for.",
    "diverged": "The loss stopped being a finite number. `result` and the parameters are the last finite ones.",
    "internal_error": "A fault of the service; the message names it.",
    "out_of_memory": "The training ran out of memory.",
    "loss_grew": "A warning in `result.warnings`: the fit is worse than the parameters it started from. The learning rate is too high.",
    "worker_crashed": "The training process died as often as `FITD_MAX_CRASHES` allows.",
}
ADVICE_CODES = {
    "batch_larger_than_data": "`batch_size` is larger than the number of rows: the same as `full`.",
    "not_a_power_of_two": "`batch_size` is not a power of two.",
}


def main() -> int:
    """Write or check all pages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is out of date")
    options = parser.parse_args()
    stale = [path for path, text in _pages() if not _settled(path, text, check=options.check)]
    for path in stale:
        print(f"{path.relative_to(ROOT)} is out of date: run python docs/generate.py", file=sys.stderr)
    missing = _paths_not_mentioned() if options.check else []
    for path in missing:
        print(f"docs/reference/http-api.md does not mention {path}", file=sys.stderr)
    return 1 if stale or missing else 0


def _pages() -> Iterator[tuple[Path, str]]:
    writers: dict[str, Callable[[], str]] = {
        "settings.md": settings_page,
        "spec.md": spec_page,
        "problems.md": problems_page,
        "cli.md": cli_page,
    }
    for name, write in writers.items():
        yield REFERENCE / name, NOTE + "\n" + write().strip() + "\n"


def _settled(path: Path, text: str, *, check: bool) -> bool:
    """Tell whether a page is as it should be, after writing it unless only a check is asked for."""
    if not check:
        path.write_text(text, "utf-8")
    return path.exists() and path.read_text("utf-8") == text


def settings_page() -> str:
    """Describe every setting by its environment variable."""
    from service.settings import Settings
    from service.spec.limits import Limits

    rows = [row for row in _setting_rows(Settings, "FITD_") if row[0] != "`FITD_LIMITS`"]
    return "\n".join(
        [
            "# Settings",
            "",
            "Each setting is an environment variable. `--data-dir`, `--host`, `--port` and `--slots` also exist on the",
            "[command line](cli.md), which wins over the environment. A wrong value stops the command with exit code 2.",
            "Times are in seconds.",
            "",
            _table(("variable", "type", "default", "meaning"), rows),
            "",
            "## Limits",
            "",
            "How large a job may be. A larger one is refused with `limit_exceeded` before anything is built.",
            "`GET /v1/capabilities` tells the limits in force.",
            "",
            _table(("variable", "type", "default", "meaning"), _setting_rows(Limits, "FITD_LIMITS__")),
        ]
    )


def _setting_rows(model: Any, prefix: str) -> list[tuple[str, ...]]:  # noqa: ANN401 - a pydantic class
    schema = model.model_json_schema()
    rows = []
    for name, field in model.model_fields.items():
        node = schema["properties"][name]
        if field.default_factory is not None:
            default = (field.default_factory.__doc__ or "computed").strip()
        else:
            default = "none" if field.default in (None, "") else f"`{field.default}`"
        kind = " ".join(part for part in (_type(node, schema), _bounds(node)) if part)
        rows.append((f"`{prefix}{name.upper()}`", kind, default, field.description or ""))
    return rows


def spec_page() -> str:
    """Describe every field of a job spec."""
    from service.spec.catalog import catalog
    from service.spec.job import JobSpec

    listed = catalog()
    parts = [
        "# The job spec",
        "",
        "The body of `POST /v1/jobs`. Unknown fields are refused. Numbers are JSON numbers, never text.",
        "A running service tells the same, as JSON Schema, at `GET /v1/capabilities`.",
        "",
        _fields(JobSpec.model_json_schema()),
    ]
    for kind, (place, heading, sentence) in KINDS.items():
        parts += [
            "",
            f"## {heading}",
            "",
            sentence if kind == "training" else f"{sentence} Choose one of these.",
        ]
        for entry in listed[kind]:
            parts += ["", *_entry(entry, place, alone=kind == "training")]
    unknown = listed.keys() - KINDS.keys()
    if unknown:
        raise SystemExit(f"docs/generate.py: add {', '.join(sorted(unknown))} to KINDS")
    return "\n".join([*parts, "", *_formulas()])


def _entry(entry: Mapping[str, Any], place: str, *, alone: bool) -> Iterator[str]:
    schema = entry["schema"]
    if not alone:
        yield f"### `{entry['name']}`"
        yield ""
        yield _prose(schema.get("description", ""))
        yield ""
    yield _fields(schema)
    named = {member["name"] for member in _catalog_models()}
    for name, node in schema.get("$defs", {}).items():
        if node.get("type") == "object" and name not in named:
            title = next(key for key, one in schema["properties"].items() if name in str(one))
            yield ""
            yield f"`{place}.{title}`: {_prose(node.get('description', ''))}"
            yield ""
            yield _fields(node)


def _catalog_models() -> Iterator[dict[str, str]]:
    """Name the classes that have an entry of their own, so that they are not repeated inside another."""
    from service.spec.catalog import catalog

    for entries in catalog().values():
        for entry in entries:
            yield {"name": entry["schema"].get("title", "")}


def _fields(schema: Schema) -> str:
    required = schema.get("required", [])
    rows = []
    for name, node in schema["properties"].items():
        default = "**required**" if name in required else _default(node)
        meaning = node.get("description") or _section_link(name)
        rows.append((f"`{name}`", _type(node, schema), default, _bounds(node), meaning))
    return _table(("field", "type", "default", "bounds", "meaning"), rows)


def _section_link(field: str) -> str:
    heading = next((heading for place, heading, _ in KINDS.values() if place == field), None)
    return f"See [{heading}](#{heading.lower()})." if heading else ""


def _formulas() -> list[str]:
    from service.spec import expression

    functions = ", ".join(f"`{name}`" for name in expression.FUNCTIONS)
    constants = ", ".join(f"`{name}`" for name in expression.CONSTANTS)
    return [
        "## Formulas",
        "",
        "`target.expression` is plain arithmetic over the features: numbers, feature names, `+ - * / **`,",
        f"parentheses, the constants {constants} and the functions {functions}.",
        f"At most {expression.MAX_LENGTH} characters. It is read node by node and never run as code.",
    ]


def _type(node: Schema, root: Schema) -> str:
    """Put a JSON Schema into a few words; null is left out, because the default tells it."""
    constant = [node["const"]] if "const" in node else node.get("enum")
    if constant:
        return " or ".join(f"`{_json(one)}`" for one in constant)
    if "$ref" in node:
        return _referenced(node["$ref"].rsplit("/", 1)[-1], root)
    options = [one for one in node.get("anyOf") or node.get("oneOf") or [] if one.get("type") != "null"]
    if options:
        return " or ".join(dict.fromkeys(_type(one, root) for one in options))
    return _plain_type(node, root)


def _plain_type(node: Schema, root: Schema) -> str:
    match node:
        case {"prefixItems": [*members]}:
            return f"list of {len(members)} numbers"
        case {"type": "array", "items": inner}:
            return f"list of {_type(inner, root)}"
        case {"type": "object", "additionalProperties": inner}:
            return f"object of {_type(inner, root)}"
    words = {"string": "text", "integer": "whole number", "boolean": "true or false"}
    kind = str(node.get("type", "any"))
    return words.get(kind, kind)


def _referenced(name: str, root: Schema) -> str:
    node: Schema = root.get("$defs", {}).get(name, {})
    tags = [one["const"] for one in node.get("properties", {}).values() if "const" in one]
    return f"`{tags[0]}`" if tags else "object"


def _default(node: Schema) -> str:
    return f"`{_json(node['default'])}`" if "default" in node else "none"


def _bounds(node: Schema) -> str:
    signs = {"exclusiveMinimum": "> ", "minimum": "≥ ", "exclusiveMaximum": "< ", "maximum": "≤ "}
    words = {
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "minProperties": "at least {} entries",
        "maxProperties": "at most {} entries",
        "minItems": "at least {} entries",
        "maxItems": "at most {} entries",
    }
    if "prefixItems" in node:
        return "each " + _bounds(node["prefixItems"][0])
    found = [f"{sign}{_number(node[key])}" for key, sign in signs.items() if key in node]
    found += [text.format(node[key]) for key, text in words.items() if key in node]
    for option in node.get("anyOf", []):
        found += [one for one in [_bounds(option)] if one]
    return ", ".join(found)


def _number(value: float) -> str:
    return "2⁶³ - 1" if value == 2**63 - 1 else f"{value:g}" if isinstance(value, float) else f"{value}"


def _json(value: object) -> str:
    import json

    return json.dumps(value)


def problems_page() -> str:
    """Describe every code that an error can carry."""
    found = _codes_in_source()
    _compare("FIELD_CODES", FIELD_CODES, found["Problem"] | _mapped_codes())
    _compare("JOB_CODES", JOB_CODES, found["TrainingFailed"] | found["error"])
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
            _table(("code", "status", "meaning", "hint"), sorted(_answer_rows())),
            "",
            "## What is wrong with a field",
            "",
            "`errors[].code`:",
            "",
            _table(("code", "meaning"), _code_rows(FIELD_CODES)),
            "",
            "## Why a job failed",
            "",
            "`error.code` of a job whose `status` is `failed`:",
            "",
            _table(("code", "meaning"), _code_rows(JOB_CODES)),
            "",
            "## Advice",
            "",
            "`warnings[].code` of `POST /v1/jobs/validate`. The job would run all the same.",
            "",
            _table(("code", "meaning"), _code_rows(ADVICE_CODES)),
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


def _codes_in_source() -> dict[str, set[str]]:
    """Find the codes that the source writes down: in calls, in variables called `code`, in error objects."""
    found: dict[str, set[str]] = {"Problem": set(), "TrainingFailed": set(), "error": set(), "advice": set()}
    for path in (ROOT / "service").rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        in_functions = (n for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f))
        for node in in_functions:
            match node:
                case ast.Call(func=ast.Name(id="Problem"), args=[_, code, *_]):
                    found["Problem"] |= _texts(code)
                case ast.Call(func=ast.Name(id="TrainingFailed"), args=[code, *_]):
                    found["TrainingFailed"] |= _texts(code)
                case ast.Assign(targets=[ast.Name(id="code")], value=value):
                    found["Problem"] |= _texts(value)
                case ast.Dict(keys=keys, values=values):
                    named = {
                        k.value: v for k, v in zip(keys, values, strict=True) if isinstance(k, ast.Constant)
                    }
                    kind = "advice" if "pointer" in named else "error"
                    found[kind] |= _texts(named["code"]) if "code" in named else set()
    return found


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


def cli_page() -> str:
    """Show the help of every command."""
    overview = _help()
    commands = re.findall(r"^ {4}(\w+)  ", overview, flags=re.MULTILINE)
    parts = [
        "# The command line",
        "",
        "Everything else is set by the [environment](settings.md). Exit codes: 0 when it worked, 2 for a wrong argument",
        "or setting, another number for anything else.",
        "",
        *_shown("fitd --help", overview),
    ]
    for command in commands:
        parts += ["", f"## fitd {command}", "", *_shown(f"fitd {command} --help", _help(command))]
    return "\n".join(parts)


def _help(*command: str) -> str:
    from service.__main__ import main as fitd

    os.environ["COLUMNS"] = "100"
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        fitd([*command, "--help"])
    return text.getvalue().strip()


def _shown(command: str, answer: str) -> list[str]:
    return ["```console", f"$ {command}", answer, "```"]


def _paths_not_mentioned() -> list[str]:
    from service.app import create_app
    from service.settings import Settings

    page = (REFERENCE / "http-api.md").read_text("utf-8") if (REFERENCE / "http-api.md").exists() else ""
    paths: Schema = create_app(Settings()).openapi()["paths"]
    asked = [f"{method.upper()} {path}" for path, operations in paths.items() for method in operations]
    return [one for one in asked if one.replace("{job_id}", "{id}") not in page]


def _prose(text: str) -> str:
    return " ".join(text.split())


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return _prose(str(text)).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
