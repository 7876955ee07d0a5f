"""The code of the client's pages runs as it is printed there."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import ROOT, Service

PAGES = [ROOT / "sdk" / "python" / "README.md", ROOT / "docs" / "how-to" / "use-from-python.md"]

HAS_REGISTRY = all(map(find_spec, ("service.registry", "service.exports", "service.predictions")))


def _code(page: Path) -> str:
    """All blocks of Python, one after the other, as their reader would type them."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return "\n".join(block for block in blocks if HAS_REGISTRY or "client.register(" not in block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(
    page: Path,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("FITD_URL", service.url)
    monkeypatch.chdir(tmp_path)
    code = _code(page).replace('"http://127.0.0.1:8000"', repr(service.url))
    assert code.count("\n") > 30
    exec(compile(code, str(page), "exec"), {"__name__": "__main__"})  # noqa: S102 - our own page
    assert capsys.readouterr().out
