"""Runs the examples as their reader does: the script itself, against the real service."""

import os
from collections.abc import Callable

import pytest

from tests.conftest import ROOT, Service
from tests.examples.walks import EXAMPLES, Walk, run_script


@pytest.fixture(scope="session")
def walk(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Walk]:
    """Runs an example by its name."""

    def run(name: str, **environment: str) -> Walk:
        folder = tmp_path_factory.mktemp(name)
        done = run_script(
            EXAMPLES / name / "run.sh",
            FITD_URL=service.url,
            FITD_OUTPUT=os.path.relpath(folder, ROOT),
            **environment,
        )
        return Walk(done.stdout, folder)

    return run
