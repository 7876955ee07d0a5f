"""Services with keys, for tests that call them as several people."""

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

import httpx2

from tests.conftest import Service
from tests.test_commands import fitd


def keys(data_dir: Path, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `fitd keys`."""
    done = fitd("keys", action, "--data-dir", str(data_dir), *arguments)
    assert done.returncode == 0, done.stderr
    return done


def new_key(data_dir: Path, owner: str, scopes: str = "read,write", *more: str) -> dict[str, Any]:
    """Make a key, and give it as JSON with its secret."""
    arguments = ("--name", f"key of {owner}", "--owner", owner, "--scopes", scopes, "--json", *more)
    made: dict[str, Any] = json.loads(keys(data_dir, "create", *arguments).stdout)
    return made


def bearer(secret: str) -> dict[str, str]:
    """The header that carries a secret."""
    return {"Authorization": f"Bearer {secret}"}


class Caller:
    """Somebody with a key, who uses the client of the service: one connection for all."""

    def __init__(self, service: Service, secret: str) -> None:
        self._client = service.client
        self._key = bearer(secret)

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        **more: Any,  # noqa: ANN401
    ) -> httpx2.Response:
        return self._client.request(method, path, headers={**self._key, **(headers or {})}, **more)

    def get(self, path: str, **more: Any) -> httpx2.Response:  # noqa: ANN401
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx2.Response:  # noqa: ANN401
        return self.request("POST", path, **more)

    def delete(self, path: str, **more: Any) -> httpx2.Response:  # noqa: ANN401
        return self.request("DELETE", path, **more)

    def stream(self, path: str) -> contextlib.AbstractContextManager[httpx2.Response]:
        return self._client.stream("GET", path, headers=self._key)
