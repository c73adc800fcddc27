"""Every route that there is, whichever API it belongs to and in each role, is behind the guards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.web.in_process import InProcess, check_in_process
from tests.web.walk import ROUTES, Route, options_of, routes_of
from web.application import UNREAD_PATHS
from web.roles import Role

CREDENTIALS = ["", "Basic", "Basic Og==", "Basic !!!", "Bearer ", "Bearer wrong", "Digest x"]
HOSTILE: list[Any] = [
    {},
    [],
    None,
    "text",
    0,
    {"prompt": None},
    {"prompt": ["a"]},
    {"prompt": "a", "steps": -(10**30), "n": "x", "batch_size": {}, "width": 1e300},
    {"image": "data:image/png;base64,!!!!"},
    {"id_task": {"a": 1}, "sd_model_checkpoint": 7},
]


def any_route(route: Route) -> bool:
    return True


def is_changing(route: Route) -> bool:
    return route[0] != "GET"


def of_all(
    check: Any, is_wanted: Callable[[Route], bool] = any_route, *, waits: bool = False
) -> None:
    """Ask each route of each role. check: gets the service, the method and the path. waits: for
    the model, which a front has not got: its routes are those of a whole service."""
    for role in (Role.BOTH, Role.WORKER) if waits else Role:
        wanted = [route for route in routes_of(role) if is_wanted(route)]

        async def each(run: InProcess, wanted: list[Route] = wanted) -> None:
            for method, path in wanted:
                await check(run, method, path)

        with tempfile.TemporaryDirectory() as folder:
            options: dict[str, Any] = {"role": role} if waits else options_of(role, folder)
            check_in_process(each, waits=waits, **options)


async def ask(run: InProcess, method: str, path: str, **options: Any) -> httpx.Response:
    return await run.client.request(method, path, **options)


def test_the_walk_finds_the_routes_of_all_apis() -> None:
    assert {
        ("GET", "/"),
        ("GET", "/health"),
        ("GET", "/api/v1/openapi.json"),
        ("DELETE", "/api/v1/jobs/one"),
        ("GET", "/api/v1/jobs/one/pictures/0"),
        ("POST", "/v1/images/generations"),
        ("GET", "/v1/models/one"),
        ("POST", "/sdapi/v1/txt2img"),
        ("POST", "/internal/progress"),
        ("GET", "/queue/status"),
    } <= set(ROUTES)


def test_a_front_has_the_routes_of_a_whole_service() -> None:
    assert routes_of(Role.FRONT) == ROUTES


def test_a_worker_has_the_routes_that_draw_and_the_probes_only() -> None:
    assert routes_of(Role.WORKER) == [
        ("GET", "/health"),
        ("GET", "/ready"),
        ("POST", "/sdapi/v1/txt2img"),
        ("POST", "/v1/images/generations"),
        ("POST", "/worker/v1/draw"),
    ]


@pytest.mark.parametrize(
    "word", ["shutdown", "restart", "kill", "stop", "docs", "redoc", "debug", "metrics"]
)
def test_no_route_stops_or_shows_the_service(word: str) -> None:
    assert not [path for _, path in ROUTES if word in path]


def test_every_route_asks_for_a_host_of_this_machine() -> None:
    async def check(run: InProcess, method: str, path: str) -> None:
        answer = await ask(run, method, path, headers={"host": "rebound.example"}, json={})
        assert answer.status_code == 403, (method, path)

    of_all(check)


def test_no_foreign_page_changes_anything() -> None:
    async def check(run: InProcess, method: str, path: str) -> None:
        for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            answer = await ask(run, method, path, headers=headers, json={"prompt": "a"})
            assert answer.status_code == 403, (method, path)

    of_all(check, is_changing)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
def test_no_route_reads_what_a_page_sends_unasked(kind: str) -> None:
    async def check(run: InProcess, method: str, path: str) -> None:
        headers = {"content-type": kind}
        answer = await ask(run, method, path, content=b'{"prompt": "a"}', headers=headers)
        assert answer.status_code == 415, (method, path)

    of_all(check, lambda route: route[0] == "POST" and route[1] not in UNREAD_PATHS)


def test_no_route_grants_cors() -> None:
    async def check(run: InProcess, method: str, path: str) -> None:
        headers = {"origin": "https://evil.example", "access-control-request-method": method}
        for asked in ("OPTIONS", "GET"):
            answer = await ask(run, asked, path, headers=headers)
            assert not [name for name in answer.headers if "access-control" in name], path

    of_all(check)


def test_an_odd_credential_is_no_reason_to_refuse() -> None:
    async def check(run: InProcess, method: str, path: str) -> None:
        for credential in CREDENTIALS:
            answer = await ask(run, method, path, headers={"authorization": credential})
            assert answer.status_code < 500, (method, path)
            assert answer.status_code not in (401, 403), (method, path)

    of_all(check, waits=True)


def test_no_body_makes_a_route_fail() -> None:
    async def check(run: InProcess, method: str, path: str) -> None:
        for body in HOSTILE:
            answer = await ask(run, method, path, json=body)
            assert answer.status_code < 500, (method, path, body)

    of_all(check, is_changing, waits=True)
