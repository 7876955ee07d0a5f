"""Runs the scripts of the examples, and reads what they print as their reader does."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"


@dataclass(frozen=True, slots=True)
class Walk:
    """What a script printed, and the folder with what it saved."""

    text: str
    folder: Path

    def rows(self, heading: str, *, which: int = 0) -> list[list[str]]:
        """The words of each line beneath a line that begins so, up to the next empty line."""
        lines = self.text.splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith(heading)]
        assert len(starts) > which, f"there is no {heading!r} in:\n{self.text}"
        block = lines[starts[which] + 1 :]
        end = block.index("") if "" in block else len(block)
        return [line.split() for line in block[:end]]

    def table(self, heading: str, *, which: int = 0) -> dict[str, list[float]]:
        """The numbers of each line beneath a heading, by the line's first word."""
        return {name: [float(one) for one in rest] for name, *rest in self.rows(heading, which=which)}

    def number(self, pattern: str) -> float:
        """The number in the one place that a pattern with one group finds."""
        found = re.findall(pattern, self.text)
        assert len(found) == 1, f"{pattern!r} is not once in:\n{self.text}"
        return float(found[0])

    def pictures(self) -> set[str]:
        """The pictures that it says it saved, each of which must be there and hold a drawing."""
        saved = {(ROOT / path).resolve() for path in re.findall(r"^saved (.+)$", self.text, re.MULTILINE)}
        for path in saved:
            root = ET.parse(path).getroot()  # noqa: S314 - the service's own answer
            assert root.tag == "{http://www.w3.org/2000/svg}svg", path
            assert len(list(root.iter())) > 20, f"{path} is nearly empty"
        assert {path.parent for path in saved} == {self.folder.resolve()}
        return {path.stem for path in saved}


def run_script(
    script: Path, *arguments: str, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script of the examples from the root, as its reader does, with the python of these tests."""
    done = subprocess.run(
        ["bash", str(script), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHON": os.path.relpath(sys.executable, ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0 or not check, f"{script}:\n{done.stdout}\n{done.stderr}"
    return done
