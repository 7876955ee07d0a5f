"""Before a request reaches an endpoint: its host, its origin, its characters. And the headers of every answer."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope

from service.api.armour import NoNul, SecurityHeaders
from service.api.hosts import CrossOriginGuard, HostGuard
from service.app import create_app
from service.settings import Settings
from tests.conftest import Service


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["code"] == code
    return told


def raw(service: Service, request: bytes) -> bytes:
    """Send bytes as they are, and give the answer's."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


@pytest.mark.parametrize("path", ["/v1/jobs", "/healthz", "/metrics", "/docs", "/openapi.json", "/nowhere"])
def test_a_request_for_another_host_is_misdirected(service: Service, path: str) -> None:
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "a b"):
        told = problem(service.client.get(path, headers={"Host": host}), 421, "wrong_host")
        assert "FITD_ALLOWED_HOSTS" in told["hint"]
    for host in ("localhost", "LOCALHOST.:1", "[::1]:8000", "127.0.0.1"):
        assert service.client.get(path, headers={"Host": host}).status_code in {200, 404}


def test_a_request_with_no_host_or_two_is_for_nobody(service: Service) -> None:
    for head in (
        b"GET /healthz HTTP/1.0\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
    ):
        assert b" 421 " in raw(service, head + b"Connection: close\r\n\r\n").split(b"\r\n")[0]


FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_pages_of_other_sites_change_nothing(
    service: Service, tutorial: dict[str, Any], headers: dict[str, str]
) -> None:
    tutorial["training"]["epochs"] = 2
    job = service.submit(tutorial)
    before = [one["id"] for one in service.client.get("/v1/jobs").json()["data"]]
    problem(service.client.post("/v1/jobs", json=tutorial, headers=headers), 403, "cross_origin")
    problem(service.client.delete(f"/v1/jobs/{job['id']}", headers=headers), 403, "cross_origin")
    # What a page may send without asking first: a form, and a text that happens to be a spec.
    answer = service.client.post(
        "/v1/datasets", content=b"x,y\n1,2\n", headers={**headers, "Content-Type": "text/plain"}
    )
    problem(answer, 403, "cross_origin")
    assert [one["id"] for one in service.client.get("/v1/jobs").json()["data"]] == before
    looked = service.client.get("/v1/jobs", headers=headers)
    assert looked.status_code == 200
    assert "Access-Control-Allow-Origin" not in looked.headers


def test_the_services_own_pages_may_change_things(service: Service, tutorial: dict[str, Any]) -> None:
    for headers in (
        {"Origin": service.url, "Sec-Fetch-Site": "same-origin"},
        {"Origin": service.url.upper().replace("HTTP", "http")},
        {"Sec-Fetch-Site": "none"},
        {},
    ):
        assert service.client.post("/v1/jobs/validate", json=tutorial, headers=headers).status_code == 200
    named = {"Host": "fitd.localhost:80", "Origin": "http://fitd.localhost"}
    problem(service.client.post("/v1/jobs/validate", json=tutorial, headers=named), 421, "wrong_host")


def test_a_listed_origin_may_call_and_read(
    own_service: Callable[..., Service], tutorial: dict[str, Any]
) -> None:
    service = own_service(
        FITD_SLOTS="1",
        FITD_API_KEY="s",
        FITD_ALLOWED_ORIGINS="https://app.example.org",
        FITD_ALLOWED_HOSTS="fitd.example.org",
    )
    origin = {"Origin": "https://app.example.org", "Sec-Fetch-Site": "cross-site"}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    # A browser asks first, and without the key.
    preflight = service.client.options("/v1/jobs", headers={**origin, **asked})
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example.org"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    key = {"Authorization": "Bearer s", "Host": "fitd.example.org"}
    answer = service.client.post("/v1/jobs", json=tutorial, headers={**origin, **key})
    assert answer.status_code == 202
    # A problem can be read by the page too.
    refused = service.client.post("/v1/jobs", json=tutorial, headers=origin)
    assert refused.status_code == 401
    for one in (answer, refused):
        assert one.headers["Access-Control-Allow-Origin"] == "https://app.example.org"
        assert one.headers["Vary"] == "Origin"
        assert "Location" in one.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in one.headers
    other = {"Origin": "https://evil.example", **asked}
    assert "Access-Control-Allow-Origin" not in service.client.options("/v1/jobs", headers=other).headers
    assert service.client.get("/healthz").headers["Vary"] == "Origin"


NUL_PLACES = [
    "/v1/jobs?name=a%00b",
    "/v1/jobs?metadata[k]=a%00",
    "/v1/jobs?metadata[%00]=a",
    "/v1/jobs?metadata%5Bk%00%5D=a",
    "/v1/jobs?after=job_%00",
    "/v1/jobs?status=%00",
    "/v1/jobs?%00=1",
    "/v1/jobs/job_x?wait=%00",
    "/v1/datasets?after=%00",
]


@pytest.mark.parametrize("path", NUL_PLACES)
def test_nul_in_a_query_is_refused(service: Service, path: str) -> None:
    told = problem(service.client.get(path), 422, "invalid_request")
    assert [one["code"] for one in told["errors"]] == ["invalid_text"]
    assert told["errors"][0]["parameter"]


def test_an_escaped_percent_sign_is_no_nul(service: Service) -> None:
    assert service.client.get("/v1/jobs?name=100%2500").status_code == 200


def test_nul_in_any_path_is_the_path_of_nothing(service: Service) -> None:
    document = service.client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        if "{" in path:
            for method in operations:
                filled = path.replace("{job_id}", "job_%00x").replace("{dataset_id}", "ds_%00")
                filled = filled.replace("{plot}", "loss%00").replace("{name}", "model%00")
                answer = service.client.request(method, filled)
                assert answer.status_code == 404, (method, path)
                assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "name", [b"Idempotency-Key", b"Last-Event-ID", b"Prefer", b"If-None-Match", b"Authorization"]
)
def test_nul_in_a_header_is_refused(service: Service, name: bytes) -> None:
    head = b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + name + b": a\0b\r\n\r\n"
    assert raw(service, head).startswith(b"HTTP/1.1 4")


class Answer:
    """What an application said, asked without a server: for what no server lets through."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        self.body += message.get("body", b"")


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def asked(app: Any, path: str, headers: list[tuple[bytes, bytes]]) -> Answer:  # noqa: ANN401
    answer = Answer()
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "headers": [(b"host", b"localhost"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "http_version": "1.1",
    }

    async def ask() -> None:
        await app(scope, _nothing, answer.send)

    asyncio.run(ask())
    return answer


def test_nul_in_a_header_is_refused_under_any_server() -> None:
    answer = asked(create_app(Settings()), "/healthz", [(b"idempotency-key", b"a\0b")])
    assert answer.status == 422
    assert b'"parameter":"idempotency-key"' in answer.body


def is_armoured(headers: Any) -> None:  # noqa: ANN401
    """Every answer has these, exactly once."""
    assert headers["X-Content-Type-Options".lower()] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy
    scripts = policy.partition("script-src")[2]
    assert "unsafe-inline" not in scripts


def test_every_answer_has_its_headers(service: Service, tutorial: dict[str, Any]) -> None:
    tutorial["training"]["epochs"] = 2
    job = service.submit(tutorial)
    base = f"/v1/jobs/{job['id']}"
    client = service.client
    answers = [
        client.get("/"),
        client.get("/docs"),
        client.get("/redoc"),
        client.head("/docs"),
        client.get("/openapi.json"),
        client.get("/static-offline-docs/swagger-ui.css"),
        client.get("/static-offline-docs/nowhere"),
        client.get("/metrics"),
        client.get("/nowhere"),
        client.put("/v1/jobs"),
        client.post("/v1/jobs", content=b"{"),
        client.get(base),
        client.get(base, headers={"If-None-Match": "*"}),
        client.get(f"{base}/history", headers={"Accept": "text/csv"}),
        client.get(f"{base}/parameters", headers={"Accept": "application/vnd.safetensors"}),
        client.get(f"{base}/plots/loss"),
        client.get(f"{base}/plots/loss", headers={"Accept": "image/png"}),
        client.get(f"{base}/events"),
        client.get("/v1/jobs", headers={"Host": "evil.example"}),
        client.post("/v1/jobs", headers={"Origin": "http://evil.example"}),
        client.get("/v1/jobs/%00"),
        client.get("/v1/jobs?limit=0"),
        client.delete(base),
    ]
    for answer in answers:
        is_armoured(answer.headers)
    pictures = [one for one in answers if one.headers.get("Content-Type", "").startswith("image/svg")]
    assert len(pictures) == 1
    for answer in answers:
        page = answer.url.path in {"/docs", "/redoc"}
        assert ("script-src" in answer.headers["Content-Security-Policy"]) == page
        assert ("sandbox" in answer.headers["Content-Security-Policy"]) != page


def test_an_unforeseen_error_has_them_too() -> None:
    app = create_app(Settings())

    @app.get("/broken")
    def broken() -> None:
        raise ClientDisconnect  # Nothing in the service answers this one.

    answer = Answer()
    with pytest.raises(ClientDisconnect):
        asked(_into(app, answer), "/broken", [])
    assert answer.status == 500
    assert b"internal_error" in answer.body
    is_armoured(answer.headers)


def _into(app: Any, answer: Answer) -> Any:  # noqa: ANN401
    async def inner(scope: Scope, receive: Any, _send: Any) -> None:  # noqa: ANN401
        await app(scope, receive, answer.send)

    return inner


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.parametrize("page", ["docs", "redoc"])
def test_the_pages_work_under_their_policy(service: Service, tmp_path: Path, page: str) -> None:
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    options = ["--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom"]
    done = subprocess.run(
        [*command, *options, f"{service.url}/{page}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert "Submit a job" in done.stdout
    told = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    # redoc asks a public server for its maker's mark, which is what the policy is for.
    assert [line for line in told if "cdn.redoc.ly" not in line] == []


def test_the_guards_cost_microseconds() -> None:
    """A coarse bound for a busy machine; benchmarks measure it."""

    async def end(_scope: Scope, _receive: Any, send: Any) -> None:  # noqa: ANN401
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"x")]})

    headers = [
        (b"host", b"127.0.0.1:8000"),
        *((b"x-%d" % n, b"v" * 20) for n in range(10)),
        (b"origin", b"http://127.0.0.1:8000"),
    ]
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/jobs",
        "query_string": b"a=b",
        "headers": headers,
    }
    settings = Settings()
    app = SecurityHeaders(HostGuard(CrossOriginGuard(NoNul(end), settings=settings), settings=settings))

    async def best() -> float:
        times = []
        for _ in range(20):
            started = time.perf_counter()
            for _ in range(100):
                await app(scope, _nothing, Answer().send)
            times.append((time.perf_counter() - started) / 100)
        return min(times)

    assert asyncio.run(best()) < 80e-6
