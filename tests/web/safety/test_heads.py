"""Which hosts, pages and heads are let in."""

from __future__ import annotations

import asyncio
import http.client
import socket

import httpx
import pytest

from tests.web.conftest import FRIENDLY_ORIGIN
from tests.web.running import WebProcess
from web.application import create_app
from web.options import Options
from web.safety.heads import MAX_HEAD_BYTES, MAX_HEADERS, is_loopback_host
from web.service import Service

pytestmark = pytest.mark.slow

CHANGING = [
    ("POST", "/api/v1/jobs"),
    ("DELETE", "/api/v1/jobs/none"),
    ("POST", "/v1/images/generations"),
    ("POST", "/sdapi/v1/txt2img"),
    ("POST", "/sdapi/v1/interrupt"),
    ("POST", "/sdapi/v1/options"),
]


def ask(
    web: WebProcess, method: str = "GET", path: str = "/api/v1/status", **headers: str
) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    content = b'{"prompt": "a"}' if method == "POST" else None
    if content:
        names.setdefault("content-type", "application/json")
    return web.request(method, path, headers=names, content=content)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:8080", "127.9.9.9:1", "localhost", "LOCALHOST:80", "localhost."),
        *("[::1]", "[::1]:8080", "page.localhost:8080"),
    ],
)
def test_the_names_of_this_machine_are_hosts(host: str) -> None:
    assert is_loopback_host(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil"),
        *("0.0.0.0", "192.168.1.1", "[::2]", "evil@localhost", "localhost/evil", "localhost:x"),
        *("localhost:99999", "evil.example#localhost", "[::1", "notlocalhost", "localhost?a"),
    ],
)
def test_other_names_are_not(host: str) -> None:
    assert not is_loopback_host(host)


@pytest.mark.parametrize(
    "path", ["/", "/health", "/api/v1/jobs", "/v1/models", "/sdapi/v1/options"]
)
def test_a_name_that_somebody_pointed_at_this_machine_gets_nothing(
    path: str, shared_web: WebProcess
) -> None:
    answer = ask(shared_web, path=path, host="rebound.example")
    assert answer.status_code == 403
    assert "127.0.0.1" in answer.text


@pytest.mark.parametrize(("method", "path"), CHANGING)
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {"origin": "https://studio.example.evil.example"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
    ids=str,
)
def test_a_foreign_page_changes_nothing(
    headers: dict[str, str], method: str, path: str, shared_web: WebProcess
) -> None:
    answer = ask(shared_web, method, path, **headers)
    assert answer.status_code == 403
    assert "--allow-origin" in answer.text
    assert "access-control-allow-origin" not in answer.headers


def test_its_own_page_may_change_things(shared_web: WebProcess) -> None:
    for headers in (
        {"origin": shared_web.url},
        {"origin": shared_web.url, "sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
        {},
    ):
        assert ask(shared_web, "POST", "/api/v1/jobs", **headers).status_code == 202


def test_only_origins_on_the_list_get_cors_headers(shared_web: WebProcess) -> None:
    answer = ask(shared_web, "POST", "/api/v1/jobs", origin=FRIENDLY_ORIGIN)
    assert answer.status_code == 202
    assert answer.headers["access-control-allow-origin"] == FRIENDLY_ORIGIN
    assert "location" in answer.headers["access-control-expose-headers"].lower()
    assert "access-control-allow-credentials" not in answer.headers
    for origin in ("https://evil.example", "null"):
        assert "access-control-allow-origin" not in ask(shared_web, origin=origin).headers


@pytest.mark.parametrize(
    ("origin", "is_allowed"), [(FRIENDLY_ORIGIN, True), ("https://evil.example", False)]
)
def test_a_preflight_is_granted_to_the_list_only(
    origin: str, is_allowed: bool, shared_web: WebProcess
) -> None:
    answer = ask(
        shared_web,
        "OPTIONS",
        "/api/v1/jobs",
        origin=origin,
        access_control_request_method="POST",
        access_control_request_headers="content-type,authorization,x-stainless-lang",
        access_control_request_private_network="true",
    )
    assert (answer.status_code == 200) is is_allowed
    assert ("access-control-allow-origin" in answer.headers) is is_allowed


def test_without_a_list_there_is_no_cors() -> None:
    async def preflight() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(Service(Options(("127.0.0.1:1",)))))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            headers = {"origin": FRIENDLY_ORIGIN, "access-control-request-method": "POST"}
            return await client.options("/api/v1/jobs", headers=headers)

    answer = asyncio.run(preflight())
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "headers",
    [
        {f"x-{number}": "a" for number in range(MAX_HEADERS + 1)},
        {"x-long": "a" * 17_000},
        {f"x-{number}": "a" * 1000 for number in range(20)},
    ],
    ids=["many", "long", "together"],
)
def test_a_large_head_is_refused(headers: dict[str, str], shared_web: WebProcess) -> None:
    answer = shared_web.get("/health", headers=headers)
    assert answer.status_code == 431


def test_an_endless_head_is_refused(shared_web: WebProcess) -> None:
    with socket.create_connection(("127.0.0.1", shared_web.port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1_000_000)
        assert b" 400 " in connection.recv(100)


def test_a_long_address_is_refused(shared_web: WebProcess) -> None:
    answer = shared_web.get(f"/health?{'a' * MAX_HEAD_BYTES}")
    assert answer.status_code == 431
    assert answer.json()["error"]["code"] == "headers_too_large"


def test_a_request_without_a_host_is_refused(shared_web: WebProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shared_web.port, timeout=30)
    connection.putrequest("GET", "/health", skip_host=True)
    connection.endheaders()
    assert connection.getresponse().status in (400, 403)
    connection.close()
