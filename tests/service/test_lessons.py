"""What went wrong elsewhere, tried here. docs/explanation/security.md tells each story."""

import ast
import asyncio
import contextlib
import io
import json
import os
import pickle
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import numpy as np
import pytest
import torch

from service.api.keyring import Keyring
from service.api.problems import Unauthorized
from service.db import Database
from service.settings import Settings
from tests.conftest import ROOT, TUTORIAL, Service

SERVICE = ROOT / "service"


# CVE-2025-32434, CVE-2026-24747: torch.load runs what a file says, with weights_only too.

UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "pandas"}
LOADERS = {
    "torch.load",
    "torch.jit.load",
    "torch.hub.load",
    "torch.package.PackageImporter",
    "torch.export.load",
}


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=inner, attr=name):
            return f"{_dotted(inner)}.{name}"
        case _:
            return ""


def unpickles(source: str) -> list[str]:
    """What a source text does that could run a file's contents."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [one.name for one in names if one.name.split(".")[0] in UNPICKLERS]
            case ast.ImportFrom(module=str(module), names=names):
                found += [module] * (module.split(".")[0] in UNPICKLERS)
                found += [f"{module}.{one.name}" for one in names if f"{module}.{one.name}" in LOADERS]
            case ast.Attribute() if _dotted(node) in LOADERS:
                found.append(_dotted(node))
            case ast.keyword(arg="allow_pickle", value=value):
                if not (isinstance(value, ast.Constant) and value.value is False):
                    found.append("allow_pickle")
            case ast.Call(func=ast.Name(id="eval" | "exec" as name)):
                found.append(name)
            case ast.Call(func=ast.Attribute() as function) if _dotted(function) in {"np.load", "numpy.load"}:
                # NumPy refuses pickles unless told otherwise; here it is said.
                if "allow_pickle" not in {word.arg for word in node.keywords}:
                    found.append("np.load without allow_pickle=False")
    return found


def test_nothing_in_the_service_reads_a_pickle() -> None:
    modules = [str(path.relative_to(SERVICE)) for path in SERVICE.rglob("*.py")]
    assert len(modules) > 150
    found = {name: unpickles((SERVICE / name).read_text("utf-8")) for name in modules}
    # An export is read back by the child that has just written it, to be compared.
    assert {name: what for name, what in found.items() if what} == {
        "exports/programs.py": ["torch.export.load"]
    }


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path, weights_only=True)",
        "from torch import load",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "eval(text)",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert unpickles(source)


class Payload:
    """Pickled, it makes a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._marker),)


def _pickled(payload: Payload) -> bytes:
    return pickle.dumps(payload)


def _npy(payload: Payload) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([payload], dtype=object), allow_pickle=True)
    return file.getvalue()


def _npy_with_lying_header(payload: Payload) -> bytes:
    """An array of numbers by its header, a pickle by its contents."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (4,)})
    return file.getvalue() + pickle.dumps(payload)


def _npz(payload: Payload) -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.arange(3.0), y=np.array([payload] * 3, dtype=object))
    return file.getvalue()


def _npz_of_pickles(payload: Payload) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", pickle.dumps(payload))
        archive.writestr("data.pkl", pickle.dumps(payload))
    return file.getvalue()


def _pt(payload: Payload) -> bytes:
    file = io.BytesIO()
    torch.save({"weight": torch.zeros(3), "more": payload}, file)
    return file.getvalue()


FORGERIES = (_pickled, _npy, _npy_with_lying_header, _npz, _npz_of_pickles, _pt)
ARRAYS = ("application/x-npy", "application/x-npz", "application/x-idx")
TABLES = (
    "text/csv",
    "application/vnd.apache.parquet",
    "application/vnd.apache.arrow.stream",
    "application/x-ndjson",
)


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_an_uploaded_pickle_is_refused_and_not_run(
    service: Service, tmp_path: Path, forge: Callable[[Payload], bytes]
) -> None:
    marker = tmp_path / "executed"
    body = forge(Payload(marker))
    for media in (*ARRAYS, *TABLES, "application/octet-stream", "application/x-pytorch"):
        answer = service.client.post("/v1/datasets", content=body, headers={"Content-Type": media})
        # The lying header describes numbers, and numbers are what comes of it: bytes of no meaning.
        harmless = forge is _npy_with_lying_header and media == "application/x-npy"
        assert answer.status_code in ({201, 422} if harmless else {415, 422}), (media, answer.text)
    assert not marker.exists()


def test_the_payload_would_have_worked(tmp_path: Path) -> None:
    for forge in (_pickled, _npy, _pt):
        marker = tmp_path / forge.__name__
        file = io.BytesIO(forge(Payload(marker)))
        loaders = {_pickled: pickle.load, _npy: lambda f: np.load(f, allow_pickle=True)}
        loaders.get(forge, lambda f: torch.load(f, weights_only=False))(file)  # type: ignore[operator]
        assert marker.exists()


# CVE-2023-48022: whoever reaches the service can use it, and nobody was asked.


def started(arguments: list[str], data_dir: Path, **more: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
    command = [sys.executable, "-m", "service", *arguments, "--data-dir", str(data_dir)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FITD_")}
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, **more.pop("env", {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **more,
    )


@pytest.mark.parametrize("command", ["serve", "api"])
@pytest.mark.parametrize("how", ["option", "variable"])
def test_no_command_listens_for_other_machines_without_a_key(tmp_path: Path, command: str, how: str) -> None:
    assert started(["migrate"], tmp_path).returncode == 0
    host = "0.0.0.0"  # noqa: S104 - refused
    arguments = [command, "--port", "0", *(["--host", host] if how == "option" else [])]
    done = started(arguments, tmp_path, env={"FITD_HOST": host} if how == "variable" else {})
    assert done.returncode == 1
    assert "needs an API key" in done.stderr
    assert '"listening"' not in done.stderr


def test_a_socket_that_was_handed_over_is_looked_at_too(tmp_path: Path) -> None:
    assert started(["migrate"], tmp_path).returncode == 0
    with socket.socket() as everywhere:
        everywhere.bind(("0.0.0.0", 0))  # noqa: S104 - refused
        everywhere.listen()
        fd = everywhere.fileno()
        # The setting says loopback, the socket says otherwise.
        done = started(["api", "--fd", str(fd)], tmp_path, env={"FITD_HOST": "127.0.0.1"}, pass_fds=(fd,))
    assert done.returncode == 1
    assert "listening on 0.0.0.0" in done.stderr


def test_a_call_that_comes_in_elsewhere_than_at_loopback_needs_a_key(database: Database) -> None:
    """Whoever embeds the application and listens by himself: what counts is where the call came in."""
    keyring = Keyring(Settings(), database)
    for server in ("127.0.0.1", "::1", None):
        assert asyncio.run(keyring.admit(None, server=server)).owner == "local"
    for server in ("192.168.0.7", "fd00::7", "fitd.example.org", ""):
        with pytest.raises(Unauthorized):
            asyncio.run(keyring.admit(None, server=server))


# CVE-2023-6038 (server paths) and CVE-2023-43654 (URLs): a field that names something the server then reads.

CSV = b"x,y\n" + b"".join(b"%d,%d\n" % (n, 2 * n + 1 + n % 3) for n in range(20))
PATHS = ["/etc/passwd", "file:///etc/passwd", "../../../../etc/passwd", "C:\\Windows\\win.ini"]


def _fields(part: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401
    """The place of every text in a spec, and of every name of a field."""
    if isinstance(part, str):
        yield at
    elif isinstance(part, dict):
        for name, value in part.items():
            yield from _fields(value, (*at, name))
    elif isinstance(part, list):
        for number, value in enumerate(part):
            yield from _fields(value, (*at, number))


def _with(spec: dict[str, Any], at: tuple[Any, ...], value: object) -> dict[str, Any]:
    changed: Any = json.loads(json.dumps(spec))
    inner = changed
    for step in at[:-1]:
        inner = inner[step]
    inner[at[-1]] = value
    return changed  # type: ignore[no-any-return]


def _specs() -> list[dict[str, Any]]:
    inline = {"type": "inline", "columns": {"x": [0.1, 0.2, 0.4], "y": [1.0, 2.0, 2.5]}, "target": "y"}
    stored = {"type": "dataset", "id": "ds_x", "target": "y", "features": ["x"]}
    start = {"type": "linear", "init_from": {"job": "job_x", "freeze": ["0.*"]}}
    return [
        {**TUTORIAL, "name": "n", "metadata": {"k": "v"}},
        {**TUTORIAL, "data": inline},
        {**TUTORIAL, "data": stored},
        {**TUTORIAL, "model": start},
    ]


def _everywhere(service: Service, text: str) -> Iterator[httpx2.Response]:
    """Send a text in every place of every kind of request that takes one."""
    client = service.client
    for spec in _specs():
        for at in _fields(spec):
            yield client.post("/v1/jobs/validate", json=_with(spec, at, text))
        # As a name of a field, of a column, of a key; and in fields that there are elsewhere.
        for name in (text, "path", "url", "source", "file", "data_path", "checkpoint", "callback", "webhook"):
            yield client.post("/v1/jobs/validate", json={**spec, name: text})
            yield client.post("/v1/jobs/validate", json=_with(spec, ("data", name), text))
            yield client.post("/v1/jobs/validate", json=_with(spec, ("model", name), text))
    submitted = _specs()[0] | {"name": text, "metadata": {"k": text}}
    yield client.post("/v1/jobs", json=submitted, headers={"Prefer": "wait=20"})
    headers = {
        "Referer": text,
        "X-Forwarded-Host": text,
        "X-Original-URL": text,
        "Link": f"<{text}>",
        "From": text,
    }
    yield client.get("/v1/jobs", headers={**headers, "Accept": text})
    # Each file is read by a process of its own, which takes its time: one request names all, not each its own.
    queries = dict.fromkeys(("name", "join", "column", "category", "url", "path"), text)
    for media in ("text/csv", "application/x-npy"):
        yield client.post("/v1/datasets", params=queries, content=CSV, headers={"Content-Type": media})
    table = f"x,y\n{text},1\n{text}x,2\n".encode()
    row = json.dumps({"x": text, "y": 1}).encode() + b"\n"
    bodies = [*((media, text.encode()) for media in (*TABLES, *ARRAYS)), ("text/csv", table)]
    for media, body in (*bodies, ("application/x-ndjson", row)):
        yield client.post("/v1/datasets", content=body, headers={"Content-Type": media})
    yield client.post("/v1/jobs", content=text.encode(), headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("path", PATHS)
def test_a_path_of_the_server_in_any_field_means_nothing(service: Service, path: str) -> None:
    secrets = ("root:x:", "root:*:", "/bin/bash", "daemon:")
    count = 0
    for answer in _everywhere(service, path):
        assert answer.status_code < 500, answer.text
        assert not any(secret in answer.text for secret in secrets)
        count += 1
    assert count > 150


@contextlib.contextmanager
def _listener() -> Iterator[tuple[socket.socket, int]]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(0)
        yield listening, listening.getsockname()[1]


@pytest.mark.timeout(240)
def test_a_url_in_any_field_is_never_fetched(service: Service) -> None:
    with _listener() as (listening, port):
        for url in (f"http://127.0.0.1:{port}/x.csv", f"//127.0.0.1:{port}/x", f"ftp://127.0.0.1:{port}/x"):
            for answer in _everywhere(service, url):
                assert answer.status_code < 500, answer.text
        time.sleep(0.5)
        with pytest.raises(BlockingIOError):
            listening.accept()
        # The listener does hear whoever calls.
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            listening.settimeout(5)
            listening.accept()[0].close()


# CVE-2023-1177: a name with dots and slashes in it that becomes a path.

TRAVERSALS = [
    "../../../../etc/passwd",
    "..\\..\\etc\\passwd",
    "/etc/passwd",
    "....//....//etc/passwd",
    ".",
    "..",
    "fitd.db",
]


def _encoded(text: str) -> set[str]:
    once = quote(text, safe="").replace(".", "%2e")
    overlong = text.replace("/", "%c0%af").replace(".", "%c0%ae")
    return {text, quote(text, safe=""), once, quote(once, safe=""), overlong, text.replace("/", "%5c")}


def _raw_get(service: Service, path: str) -> bytes:
    """Ask for a path as it is written: a client would tidy it."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


@pytest.mark.parametrize("traversal", TRAVERSALS)
def test_no_part_of_a_path_leads_out_of_it(service: Service, traversal: str) -> None:
    served = ("/v1/jobs/{}", "/v1/jobs/{}/parameters", "/v1/jobs/job_x/plots/{}", "/v1/datasets/{}")
    served += ("/v1/datasets/{}/preview", "/static-offline-docs/{}", "/{}")
    for template in served:
        for text in _encoded(traversal):
            answer = _raw_get(service, template.format(text))
            status = answer.split(b" ", 2)[1]
            assert b"root:x:" not in answer
            assert b"SQLite format" not in answer
            # `.` and `..` are tidied to nothing: then it is the list, or the page that leads to the docs.
            assert status in {b"404", b"422", b"400", b"405"} or traversal in {".", ".."}, (
                template,
                text,
                answer[:80],
            )


def test_names_that_look_like_paths_make_no_files(service: Service) -> None:
    before = {path.name for path in service.data_dir.rglob("*")}
    for name in (*TRAVERSALS, "../../escaped"):
        body = f'"{name}",y\n1,2\n3,5\n4,7\n'.encode()
        answer = service.client.post(
            "/v1/datasets", params={"name": name}, content=body, headers={"Content-Type": "text/csv"}
        )
        assert answer.status_code in {200, 201, 422}
        if answer.status_code != 422:
            assert answer.json()["name"] == name
    after = {path.name for path in service.data_dir.rglob("*")}
    assert not any("escaped" in name or "passwd" in name for name in after - before)
    assert not list(service.data_dir.parent.glob("*escaped*"))


def test_an_archive_with_paths_in_it_writes_nowhere(service: Service, tmp_path: Path) -> None:
    outside = tmp_path / "escaped.npy"
    file = io.BytesIO()
    column = io.BytesIO()
    np.save(column, np.arange(5.0))
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("../../escaped.npy", str(outside), "x.npy"):
            archive.writestr(name, column.getvalue())
    answer = service.client.post(
        "/v1/datasets", content=file.getvalue(), headers={"Content-Type": "application/x-npz"}
    )
    assert answer.status_code in {201, 422}
    assert not list(service.data_dir.parent.rglob("*escaped*"))
    assert not outside.exists()


# CVE-2025-62727: a Range header with so many ranges that merging them took a time that grew with its square.


def test_thousands_of_ranges_are_answered_at_once(service: Service) -> None:
    tutorial = {**TUTORIAL, "training": {"epochs": 2, "batch_size": "full", "seed": 0}}
    job = service.submit(tutorial)
    safetensors = {"Accept": "application/vnd.safetensors"}
    routes = [
        ("/static-offline-docs/swagger-ui-bundle.js", {}),
        ("/static-offline-docs/redoc.standalone.js", {}),
        (f"/v1/jobs/{job['id']}/parameters", safetensors),
        (f"/v1/jobs/{job['id']}/plots/loss", {}),
        (f"/v1/jobs/{job['id']}/history", {"Accept": "text/csv"}),
        ("/openapi.json", {}),
    ]
    # As large a header as the server takes, in the forms that cost most.
    patterns = [
        ",".join(f"{n}-" for n in range(9000)),
        ",".join("0-" for _ in range(15_000)),
        ",".join(["-1"] * 15_000),
    ]
    patterns += [",".join(f"{2 * n}-{2 * n}" for n in range(5500))]
    for path, headers in routes:
        for ranges in patterns:
            began = time.monotonic()
            answer = service.client.get(path, headers={**headers, "Range": f"bytes={ranges}"})
            assert answer.status_code in {200, 206, 400, 416, 431}, (path, answer.status_code)
            assert len(answer.content) < 10 * 2**20
            # One that is quadratic takes minutes.
            assert time.monotonic() - began < 20
    assert service.client.get("/healthz").status_code == 200
