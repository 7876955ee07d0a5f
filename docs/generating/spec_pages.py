"""The reference of the job spec: an overview and one page for each section, read off the models."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from generating.fields import Schema, bounds, default, type_in_words
from generating.markdown import as_json, prose, table
from generating.sections import PAGES, Kind, Page
from generating.spec_examples import EXAMPLES

__all__ = ["entry_names", "overview", "pages"]

HEAD = ("field", "type", "default", "bounds", "meaning")


def overview() -> str:
    """Describe the fields of a job and lead to the pages of its sections."""
    from service.spec.job import JobSpec

    kinds = [(page, kind) for page in PAGES for kind in page.kinds]
    listed = _listed()
    unknown = listed.keys() - {kind.name for _, kind in kinds}
    if unknown:
        raise SystemExit(f"docs/generate.py: add {', '.join(sorted(unknown))} to generating/sections.py")
    rows = [
        (f"[{kind.heading or page.title}]({_address(page, kind)})", f"`{kind.place}`", _names(listed[kind.name], page, kind))
        for page, kind in kinds
    ]  # fmt: skip
    return "\n".join(
        [
            "# The job spec",
            "",
            "The body of `POST /v1/jobs`. Unknown fields are refused. Numbers are JSON numbers, never text.",
            "A running service tells the same, as JSON Schema, at `GET /v1/capabilities`.",
            "",
            "```json",
            as_json(EXAMPLES["job"]["smallest"]),
            "```",
            "",
            table(HEAD, _job_rows(JobSpec.model_json_schema())),
            "",
            "## The pages",
            "",
            table(("page", "place", "what there is"), rows),
        ]
    )


def pages() -> Iterator[tuple[str, str]]:
    """Give the file name and text of each page."""
    listed = _listed()
    for page in PAGES:
        parts = [f"# {page.title}"]
        for kind in page.kinds:
            parts += ["", *_of_kind(kind, listed[kind.name])]
        if page.file == "data.md":
            parts += ["", *_formulas()]
        yield page.file, "\n".join(parts)


def entry_names() -> dict[str, list[str]]:
    """Name all entries by kind."""
    return {kind: [entry["name"] for entry in entries] for kind, entries in _listed().items()}


def _listed() -> dict[str, list[dict[str, Any]]]:
    """Give the catalog without the models that happen to be installed as plugins."""
    from service.spec.catalog import catalog
    from service.spec.models import BuiltInModel

    own = {one.__name__ for one in get_args(BuiltInModel)}
    listed = dict(catalog())
    listed["models"] = [entry for entry in listed["models"] if entry["schema"]["title"] in own]
    return {
        kind: [{**entry, "schema": _resolved(entry["schema"])} for entry in entries]
        for kind, entries in listed.items()
    }


def _resolved(schema: Schema) -> Schema:
    """Follow the reference that stands for the whole schema where a model holds itself, as a residual layer does."""
    if "$ref" not in schema:
        return schema
    return {**schema["$defs"][schema["$ref"].rsplit("/", 1)[-1]], "$defs": schema["$defs"]}


def _address(page: Page, kind: Kind) -> str:
    anchor = "" if kind.heading is None else "#" + kind.heading.lower().replace(" ", "-")
    return f"spec/{page.file}{anchor}"


def _names(entries: list[dict[str, Any]], page: Page, kind: Kind) -> str:
    if kind.is_section or len(entries) > 25:  # noqa: PLR2004 - more would fill the screen
        return f"{len(entries)} kinds" if not kind.is_section else ""
    if kind.name == "metrics":
        return ", ".join(f"`{entry['name']}`" for entry in entries)
    return ", ".join(
        f"[`{one['name']}`](spec/{page.file}#{_anchor(one['name'], page, kind)})" for one in entries
    )


def _anchor(name: str, page: Page, kind: Kind) -> str:
    """Give the address of a heading on its page; a name that was there before gets a number, as renderers do."""
    earlier = page.kinds[: page.kinds.index(kind)]
    names = [entry["name"].lower() for one in earlier for entry in _listed()[one.name]]
    repeated = names.count(name.lower())
    return name.lower() + (f"-{repeated}" if repeated else "")


def _job_rows(schema: Schema) -> list[tuple[str, ...]]:
    where = {kind.place: page for page in PAGES for kind in page.kinds}
    rows: list[tuple[str, ...]] = []
    for name, node in schema["properties"].items():
        page = where.get(name)
        kind = f"[{page.title.lower()}](spec/{page.file})" if page else type_in_words(node, schema)
        rows.append(
            (
                f"`{name}`",
                kind,
                default(node, name, schema),
                "" if page else bounds(node),
                node.get("description") or f"See [{page.title}](spec/{page.file})."
                if page
                else node["description"],
            )
        )
    return rows


def _of_kind(kind: Kind, entries: list[dict[str, Any]]) -> Iterator[str]:
    if kind.heading:
        yield from (f"## {kind.heading}", "")
    yield kind.sentence
    if kind.name == "metrics":
        yield from ("", table(("metric", "for", "better", "what it is"), _metric_rows()))
        yield from ("", *_shown(EXAMPLES["metrics"]["metrics"]))
        return
    told: set[str] = set()
    for entry in entries:
        if not kind.is_section:
            yield from ("", f"### `{entry['name']}`", "", prose(entry["schema"].get("description", "")))
        yield from ("", *_shown(EXAMPLES[kind.name][entry["name"]]))
        yield from ("", _fields(entry["schema"]))
        yield from _objects(entry["schema"], told)


def _shown(example: object) -> list[str]:
    return ["```json", as_json(example), "```"]


def _fields(schema: Schema) -> str:
    rows = [
        (f"`{name}`", type_in_words(node, schema), default(node, name, schema), bounds(node), node.get("description", ""))
        for name, node in schema["properties"].items()
        if "const" not in node
    ]  # fmt: skip
    return table(HEAD, rows) if rows else "It has no parameters."


def _objects(schema: Schema, told: set[str]) -> Iterator[str]:
    """Describe the objects within an entry that have none of their own; once on each page."""
    own = _titles()
    for name, node in schema.get("$defs", {}).items():
        is_group = "parameters" in node.get("properties", {})
        if not node.get("properties") or name in own or name in told or is_group:
            continue
        told.add(name)
        yield from ("", f"**`{name}`**: {prose(node.get('description', ''))}", "")
        yield _fields({**node, "$defs": schema["$defs"]})


def _titles() -> set[str]:
    """Name the classes that have an entry of their own, so that they are not repeated inside another."""
    return {entry["schema"].get("title", "") for entries in _listed().values() for entry in entries}


def _metric_rows() -> Iterator[tuple[str, ...]]:
    from service.spec.metrics import METRICS

    better: Mapping[str | None, str] = {"higher": "higher", "lower": "lower", None: ""}
    for name, about in METRICS.items():
        what = "numbers" if about.regression else "classes, labels"
        what += " with probabilities" if about.needs_probabilities else ""
        yield f"`{name}`", what, better[about.better], about.summary


def _formulas() -> list[str]:
    from service.spec import expression

    functions = ", ".join(f"`{name}`" for name in expression.FUNCTIONS)
    constants = ", ".join(f"`{name}`" for name in expression.CONSTANTS)
    return [
        "## Formulas",
        "",
        "`target.expression` is plain arithmetic over the features: numbers, feature names, `+ - * / **`,",
        f"parentheses, the constants {constants} and the functions {functions}. A comparison of two of these",
        "(`<`, `<=`, `>`, `>=`) makes a target of two classes: 1 where it holds, else 0.",
        f"At most {expression.MAX_LENGTH} characters. It is read node by node and never run as code.",
    ]
