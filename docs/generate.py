"""Write the reference pages that follow from the code: settings, spec, problems, command line.

    python docs/generate.py            writes the pages
    python docs/generate.py --check    exits 1 if a page is not what the code says

`--check` also makes sure that http-api.md mentions every path of the OpenAPI document, and that the service
accepts every example of the spec's pages.
"""

import argparse
import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent
REFERENCE = DOCS / "reference"
sys.path[:0] = [str(ROOT), str(DOCS)]

from generating import spec_pages  # noqa: E402 - found only now
from generating.checked_examples import refused_examples  # noqa: E402
from generating.fields import Schema, bounds, type_in_words  # noqa: E402
from generating.markdown import table  # noqa: E402
from generating.problem_codes import problems_page  # noqa: E402

NOTE = "<!-- Written by docs/generate.py from the code. Change the code, then run the script again. -->\n"


def main() -> int:
    """Write or check all pages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is out of date")
    options = parser.parse_args()
    stale = [path for path, text in _pages() if not _settled(path, text, check=options.check)]
    faults = [f"{path.relative_to(ROOT)} is out of date: run python docs/generate.py" for path in stale]
    if options.check:
        faults += [f"docs/reference/http-api.md does not mention {path}" for path in _paths_not_mentioned()]
        faults += refused_examples(spec_pages.entry_names())
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def _pages() -> Iterator[tuple[Path, str]]:
    writers: dict[str, Callable[[], str]] = {
        "settings.md": settings_page,
        "spec.md": spec_pages.overview,
        "problems.md": lambda: problems_page(ROOT / "service"),
        "cli.md": cli_page,
    }
    for name, write in writers.items():
        yield REFERENCE / name, _with_note(write())
    for name, text in spec_pages.pages():
        yield REFERENCE / "spec" / name, _with_note(text)


def _with_note(text: str) -> str:
    return NOTE + "\n" + text.strip() + "\n"


def _settled(path: Path, text: str, *, check: bool) -> bool:
    """Tell whether a page is as it should be, after writing it unless only a check is asked for."""
    if not check:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    return path.exists() and path.read_text("utf-8") == text


def settings_page() -> str:
    """Describe every setting by its environment variable."""
    from service.settings import Retention, Settings, Trackers
    from service.spec.limits import Limits

    groups = {"`FITD_LIMITS`", "`FITD_RETENTION`", "`FITD_TRACKERS`"}
    rows = [row for row in _setting_rows(Settings, "FITD_") if row[0] not in groups]
    return "\n".join(
        [
            "# Settings",
            "",
            "Each setting is an environment variable. `--data-dir`, `--host`, `--port` and `--slots` also exist on the",
            "[command line](cli.md), which wins over the environment. A wrong value stops the command with exit code 2.",
            "Times are in seconds.",
            "",
            table(("variable", "type", "default", "meaning"), rows),
            "",
            "## Limits",
            "",
            "How large a job may be. A larger one is refused with `limit_exceeded` before anything is built.",
            "`GET /v1/capabilities` tells the limits in force.",
            "",
            table(("variable", "type", "default", "meaning"), _setting_rows(Limits, "FITD_LIMITS__")),
            "",
            "## Retention",
            "",
            "What is removed by itself: [how to keep the disk tidy](../how-to/keep-the-disk-tidy.md).",
            "",
            table(("variable", "type", "default", "meaning"), _setting_rows(Retention, "FITD_RETENTION__")),
            "",
            "## Trackers",
            "",
            "Where jobs are told to others: [how to follow jobs in MLflow or TensorBoard](../how-to/track.md).",
            "",
            table(("variable", "type", "default", "meaning"), _setting_rows(Trackers, "FITD_TRACKERS__")),
        ]
    )


def _setting_rows(model: Any, prefix: str) -> list[tuple[str, ...]]:  # noqa: ANN401 - a pydantic class
    schema = model.model_json_schema()
    rows: list[tuple[str, ...]] = []
    for name, field in model.model_fields.items():
        node = schema["properties"][name]
        if field.default_factory is not None:
            default = (field.default_factory.__doc__ or "computed").strip()
        else:
            default = "none" if field.default in (None, "", ()) else f"`{field.default}`"
        kind = " ".join(part for part in (type_in_words(node, schema), bounds(node)) if part)
        rows.append((f"`{prefix}{name.upper()}`", kind, default, field.description or ""))
    return rows


def cli_page() -> str:
    """Show the help of every command."""
    overview = _help()
    parts = [
        "# The command line",
        "",
        "Everything else is set by the [environment](settings.md). Exit codes: 0 when it worked, 2 for a wrong argument",
        "or setting, another number for anything else.",
        "",
        *_shown("fitd --help", overview),
    ]
    for command in _commands(overview):
        text = _help(command)
        parts += ["", f"## fitd {command}", "", *_shown(f"fitd {command} --help", text)]
        for action in _commands(text):
            parts += ["", *_shown(f"fitd {command} {action} --help", _help(command, action))]
    return "\n".join(parts)


def _commands(overview: str) -> list[str]:
    """Name what a command's help lists below it."""
    return re.findall(r"^ {4}(\w+)  ", overview, flags=re.MULTILINE)


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
    return [one for one in asked if _with_short_ids(one) not in page]


def _with_short_ids(path: str) -> str:
    return re.sub(r"\{(job|dataset)_id\}", "{id}", path)


if __name__ == "__main__":
    sys.exit(main())
