"""The TypeScript client, built and run against a live service: its own tests, and the examples of its pages."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, Service
from tests.node import needs

CLIENT = ROOT / "sdk" / "typescript"
BUILT = CLIENT / "dist" / "test"

needs_node = needs(BUILT)


def programs() -> list[Path]:
    return sorted(BUILT.rglob("*.test.js"))


@needs_node
@pytest.mark.timeout(300)
def test_the_client_does_what_it_says(service: Service) -> None:
    assert [path.name for path in programs()] == [
        "faults.test.js",
        "jobs.test.js",
        "once.test.js",
        "how-to.test.js",
        "readme.test.js",
    ]
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", *map(str, programs())],
        env={**os.environ, "FITD_URL": service.url},
        capture_output=True,
        text=True,
        check=False,
        cwd=CLIENT,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "skipped 0" in done.stdout
    assert "Traceback" not in service.log


@needs_node
def test_a_package_has_what_is_imported_and_no_more() -> None:
    packed = subprocess.run(
        ["npm", "pack", "--dry-run", "--json", "--ignore-scripts"],
        capture_output=True,
        text=True,
        check=True,
        cwd=CLIENT,
    )
    paths = {file["path"] for file in json.loads(packed.stdout)[0]["files"]}
    assert {"package.json", "README.md", "dist/src/index.js", "dist/src/index.d.ts"} <= paths
    assert {path for path in paths if not path.startswith("dist/src/")} == {"package.json", "README.md"}


@pytest.mark.parametrize("folder", ["sdk/typescript", "contract"])
def test_the_lock_file_names_no_registry(folder: str) -> None:
    packages = json.loads((ROOT / folder / "package-lock.json").read_text("utf-8"))["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert not [name for name, package in packages.items() if name and "integrity" not in package]
