"""With keys, every route asks for one: the list of routes is the application's own."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.web.in_process import InProcess, check_in_process
from tests.web.keys import ALICE, BOB, WRONG, bearer, write
from tests.web.stub_model_server import Behaviour
from tests.web.walk import ROUTES

OPEN = [("GET", "/"), ("GET", "/health"), ("GET", "/ready")]
GUARDED = [route for route in ROUTES if route not in OPEN]
NOWHERE = [
    *(
        ("GET", "/nowhere"),
        ("GET", "/health/"),
        ("GET", "/ready/x"),
        ("GET", "/%2F"),
        ("POST", "/"),
    ),
    *(("DELETE", "/health"), ("OPTIONS", "/api/v1/jobs"), ("GET", "/%68ealth/..%2fapi/v1/status")),
    *(("GET", "/openapi.json"), ("GET", "/docs"), ("TRACE", "/ready"), ("GET", "/API/v1/status")),
]
SLOW = Behaviour(seconds_per_step=0.1, default_steps=20)


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


REFUSED: dict[str, list[tuple[str, str]]] = {
    "no key": [],
    "an empty header": [("authorization", "")],
    "a wrong key": [("authorization", f"Bearer {WRONG}")],
    "a wrong X-Api-Key": [("x-api-key", WRONG)],
    "a wrong password": [("authorization", basic(f"alice:{WRONG}"))],
    "an empty Basic": [("authorization", basic(":"))],
    "a user without a password": [("authorization", basic("alice"))],
    "the key as the user": [("authorization", basic(ALICE.replace(":", "-") + ":"))],
    "no Base64": [("authorization", "Basic !!!")],
    "Basic alone": [("authorization", "Basic")],
    "Bearer alone": [("authorization", "Bearer ")],
    "an unknown scheme": [("authorization", f"Digest {ALICE}")],
    "no scheme": [("authorization", ALICE)],
    "a name": [("authorization", "Bearer alice")],
    "half of the key": [("authorization", f"Bearer {ALICE[:10]}")],
    "two people's keys": [("authorization", f"Bearer {ALICE}"), ("x-api-key", BOB)],
    "a good and a wrong key": [("authorization", f"Bearer {ALICE}"), ("x-api-key", WRONG)],
    "a good and an empty key": [("authorization", f"Bearer {ALICE}"), ("x-api-key", "")],
    "two of one header": [("authorization", f"Bearer {ALICE}"), ("authorization", basic("a:b"))],
    "a cookie": [("cookie", f"key={ALICE}")],
}
ACCEPTED: dict[str, list[tuple[str, str]]] = {
    "Bearer": [("authorization", f"Bearer {ALICE}")],
    "X-Api-Key": [("x-api-key", ALICE)],
    "Basic": [("authorization", basic(f"anybody:{ALICE}"))],
    "all of them": [
        *(("authorization", f"Bearer {ALICE}"), ("x-api-key", ALICE)),
        ("authorization", basic(f":{ALICE}")),
    ],
}


@pytest.fixture
def keys_file(tmp_path: Path) -> str:
    return str(write(tmp_path / "keys.json", ("alice", ALICE), ("bob", BOB)))


def check_shape(answer: httpx.Response, path: str) -> None:
    """The error is one of the API that the path belongs to."""
    document = answer.json()
    if path.startswith("/v1"):
        error = document["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")
    elif path.startswith(("/sdapi", "/internal", "/queue")):
        assert set(document) == {"error", "detail", "body", "errors"}
        assert "key" in document["detail"]
    else:
        assert set(document["error"]) == {"code", "message"}
    offered = answer.headers["www-authenticate"]
    assert offered == ('Basic realm="diffusion"' if path.startswith("/sdapi") else "Bearer")


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
def test_no_route_but_the_open_ones_answers_without_a_good_key(
    headers: list[tuple[str, str]], keys_file: str
) -> None:
    async def check(run: InProcess) -> None:
        for method, path in [*GUARDED, *NOWHERE]:
            options: dict[str, Any] = {"json": {"prompt": "a"}} if method == "POST" else {}
            answer = await run.client.request(method, path, headers=headers, **options)
            assert answer.status_code == 401, (method, path)
            check_shape(answer, path)
            for key in (ALICE, BOB, WRONG):
                assert key not in answer.text + str(answer.headers)
        assert run.service.queue.drawing + run.service.queue.queued == 0

    check_in_process(check, waits=False, keys_file=keys_file)


@pytest.mark.parametrize("headers", ACCEPTED.values(), ids=ACCEPTED)
def test_every_route_takes_a_key_in_each_header(
    headers: list[tuple[str, str]], keys_file: str
) -> None:
    async def check(run: InProcess) -> None:
        for method, path in ROUTES:
            answer = await run.client.request(method, path, headers=headers)
            assert answer.status_code not in (401, 403), (method, path)

    check_in_process(check, waits=False, keys_file=keys_file)


def test_the_page_and_the_probes_are_open_whatever_key_is_sent(keys_file: str) -> None:
    async def check(run: InProcess) -> None:
        for (_, path), headers in product(OPEN, [*REFUSED.values(), *ACCEPTED.values()]):
            for method in ("GET", "HEAD"):
                answer = await run.client.request(method, path, headers=headers)
                assert answer.status_code == 200, (path, headers)
                for secret in ("alice", "bob", ALICE, BOB):
                    assert secret not in answer.text

    check_in_process(check, keys_file=keys_file)


def test_anothers_job_is_not_there(keys_file: str) -> None:
    """By whichever route: seen, fetched, watched, stopped or skipped."""

    async def check(run: InProcess) -> None:
        alice, bob = bearer(ALICE), bearer(BOB)
        made = await run.client.post(
            "/api/v1/jobs", json={"prompt": "hers", "id": "one"}, headers=alice
        )
        assert made.status_code == 202
        for method, path in GUARDED:
            if not path.startswith("/api/v1/jobs/one"):
                continue
            answer = await run.client.request(method, path, headers=bob)
            assert answer.status_code == 404, (method, path)
        for method, path in GUARDED:
            # Made in the other APIs, which have no ids in their paths.
            if path.startswith(("/sdapi", "/internal", "/queue")) and "txt2img" not in path:
                body = {"id_task": "one"} if method == "POST" else None
                answer = await run.client.request(method, path, headers=bob, json=body)
                assert "hers" not in answer.text, (method, path)
        assert (await run.get("/api/v1/jobs", headers=bob)).json() == {"jobs": []}
        # His job of the same id is another one.
        his = await run.client.post("/api/v1/jobs", json={"prompt": "b", "id": "one"}, headers=bob)
        assert his.status_code == 202
        hers = (await run.get("/api/v1/jobs/one", headers=alice)).json()
        assert (hers["state"], hers["request"]["prompt"]) == ("drawing", "hers")

    check_in_process(check, SLOW, keys_file=keys_file)


def test_a_job_is_its_keys_however_the_key_is_sent(keys_file: str) -> None:
    async def check(run: InProcess) -> None:
        body = {"prompt": "a", "id": "mine"}
        await run.client.post("/api/v1/jobs", json=body, headers=bearer(ALICE))
        for headers in ACCEPTED.values():
            assert (await run.get("/api/v1/jobs/mine", headers=headers)).status_code == 200

    check_in_process(check, keys_file=keys_file)


def test_a_wrong_key_is_counted_and_its_body_is_not_read(keys_file: str) -> None:
    async def check(run: InProcess) -> None:
        async def body() -> AsyncIterator[bytes]:
            yield b"x" * 1000
            raise AssertionError("nobody should ask for more")

        answer = await run.client.post(
            "/api/v1/jobs", content=body(), headers={**bearer(WRONG), "content-type": "text/plain"}
        )
        assert answer.status_code == 401
        assert run.value("web_rejected_total", reason="unauthorized") == 1
        assert run.value("web_requests_total", api="native", code="4xx") == 1

    check_in_process(check, waits=False, keys_file=keys_file)


def test_with_keys_the_service_has_any_name(keys_file: str) -> None:
    async def check(run: InProcess) -> None:
        for scheme in ("http", "https"):
            headers = {"host": "pictures.example", "origin": f"{scheme}://pictures.example"}
            body = {"prompt": "a", "id": scheme}
            answer = await run.client.post(
                "/api/v1/jobs", json=body, headers={**headers, **bearer(ALICE)}
            )
            assert answer.status_code == 202
        # A browser may have kept a password for another page's requests.
        headers = {"host": "pictures.example", "origin": "https://evil.example"}
        answer = await run.client.post(
            "/sdapi/v1/interrupt", json={}, headers={**headers, **bearer(ALICE)}
        )
        assert answer.status_code == 403

    check_in_process(check, keys_file=keys_file)


def test_a_preflight_carries_no_key_and_a_refusal_can_be_read_by_the_page(keys_file: str) -> None:
    origin = "https://studio.example"

    async def check(run: InProcess) -> None:
        asked = {
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization",
        }
        answer = await run.client.request("OPTIONS", "/api/v1/jobs", headers=asked)
        assert answer.status_code == 200
        assert "authorization" in answer.headers["access-control-allow-headers"].lower()
        refused = await run.client.get("/api/v1/jobs", headers={"origin": origin})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == origin

    check_in_process(check, waits=False, keys_file=keys_file, allowed_origins=(origin,))


def test_the_document_says_how_the_key_is_sent_and_where_none_is_needed(keys_file: str) -> None:
    async def check(run: InProcess) -> None:
        answer = await run.get("/api/v1/openapi.json", headers=bearer(ALICE))
        document = answer.json()
        schemes = document["components"]["securitySchemes"]
        assert {scheme.get("scheme", scheme.get("name")) for scheme in schemes.values()} == {
            *("bearer", "basic", "X-Api-Key")
        }
        assert document["security"] == [{name: []} for name in schemes]
        operations = {
            path: operation
            for path, methods in document["paths"].items()
            for operation in methods.values()
        }
        open_paths = {path for path, said in operations.items() if said.get("security") == []}
        assert open_paths == {"/health", "/ready"}
        for path, operation in operations.items():
            assert ("401" in operation["responses"]) == (path not in open_paths)
        for secret in (ALICE, BOB, "alice", "bob"):
            assert secret not in answer.text

    check_in_process(check, waits=False, keys_file=keys_file)


def test_without_keys_the_document_says_that_they_are_optional() -> None:
    async def check(run: InProcess) -> None:
        document = (await run.get("/api/v1/openapi.json")).json()
        assert document["security"][0] == {}

    check_in_process(check, waits=False)
