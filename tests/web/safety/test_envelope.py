"""What every answer has, and what a failing handler leads to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from tests.web.running import WebProcess
from web.application import create_app
from web.options import Options
from web.service import Service

SECRET = "a secret submarine"


def failing_app() -> FastAPI:
    """An application with handlers that fail, one for each API, and one that fails half way."""
    app = create_app(Service(Options(("127.0.0.1:1",))))

    async def fail(request: Request) -> None:
        raise ValueError(SECRET) from KeyError(SECRET)

    async def break_off() -> StreamingResponse:
        async def parts():
            yield "one"
            raise ValueError(SECRET)

        return StreamingResponse(parts())

    for prefix in ("/api/v1", "/v1", "/sdapi/v1"):
        app.add_api_route(f"{prefix}/fail", fail)
    app.add_api_route("/break", break_off)
    return app


def get(app: FastAPI, path: str, **headers: str) -> httpx.Response:
    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(main())


@pytest.mark.parametrize("prefix", ["/api/v1", "/v1", "/sdapi/v1"])
def test_a_failing_handler_is_a_500_in_the_apis_own_shape(prefix: str) -> None:
    answer = get(failing_app(), f"{prefix}/fail", **{"x-request-id": "r-1"})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "r-1"
    assert "r-1" in answer.text
    assert SECRET not in answer.text
    expected = {
        "/api/v1": {"error"},
        "/v1": {"error"},
        "/sdapi/v1": {"error", "detail", "body", "errors"},
    }
    assert set(answer.json()) == expected[prefix]


def test_the_log_says_where_it_failed(caplog: pytest.LogCaptureFixture) -> None:
    get(failing_app(), "/api/v1/fail", **{"x-request-id": "r-2"})
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "r-2" in record.getMessage()
    assert record.exc_info


def test_an_answer_that_breaks_off_is_logged_and_has_no_second_status(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with contextlib.suppress(AssertionError):  # httpx's own, of an answer that does not end
        get(failing_app(), "/break")
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("given", ["abc", "A-b_c.9", "a" * 64])
def test_a_plain_request_id_is_kept(given: str) -> None:
    answer = get(failing_app(), "/health", **{"x-request-id": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", "a\tb", "<script>", "a;b", "a/b"])
def test_any_other_request_id_is_replaced(given: str) -> None:
    answer = get(failing_app(), "/health", **{"x-request-id": given})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/nowhere",
        "/api/v1/jobs",
        "/v1/models",
        "/sdapi/v1/options",
        "/queue/status",
    ],
)
def test_every_answer_protects_browsers_and_names_no_server(
    path: str, shared_web: WebProcess
) -> None:
    headers = shared_web.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-request-id"]
    assert "server" not in headers


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/redoc",
        "/openapi.json",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/README.md",
        "//etc/passwd",
    ],
)
def test_there_are_no_other_pages_and_no_files(path: str, shared_web: WebProcess) -> None:
    answer = shared_web.get(path)
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error["code"] == "not_found"
    assert error["message"].endswith("see the page at /, or /api/v1/openapi.json")


@pytest.mark.slow
def test_ranges_are_ignored(shared_web: WebProcess) -> None:
    for value in ("bytes=0-0", "bytes=" + ",".join(["0-"] * 1000)):
        answer = shared_web.get("/", headers={"range": value})
        assert answer.status_code == 200
        assert "content-range" not in answer.headers


@pytest.mark.slow
def test_an_upgrade_to_websockets_is_not_offered(shared_web: WebProcess) -> None:
    headers = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-key": "a"}
    assert shared_web.get("/health", headers=headers).status_code == 200
