"""Bodies that no API ever sees."""

from __future__ import annotations

import http.client
import json
import socket
import time

import httpx
import pytest

from tests.web.running import WebProcess

pytestmark = pytest.mark.slow

POSTS = ["/api/v1/jobs", "/v1/images/generations", "/sdapi/v1/txt2img", "/sdapi/v1/options"]
JSON = {"content-type": "application/json"}


def post(
    web: WebProcess, content: bytes, path: str = "/api/v1/jobs", **headers: str
) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.request("POST", path, content=content, headers=names)


def message_of(answer: httpx.Response) -> str:
    """The one line for people, in whichever API's shape."""
    document = answer.json()
    error = document["error"]
    message = error["message"] if isinstance(error, dict) else document["detail"]
    assert "\n" not in message
    return message


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "text/plain; application/json",
        "image/png",
        "",
    ],
)
def test_what_a_page_can_send_unasked_is_no_json(
    kind: str, path: str, shared_web: WebProcess
) -> None:
    answer = post(shared_web, b'{"prompt": "a"}', path, content_type=kind)
    assert answer.status_code == 415
    assert "-H 'Content-Type: application/json'" in message_of(answer)


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"]
)
def test_json_is_taken_under_its_name(kind: str, shared_web: WebProcess) -> None:
    assert post(shared_web, b'{"prompt": "a"}', content_type=kind).status_code == 202


@pytest.mark.parametrize("path", POSTS[:3])
def test_a_program_may_leave_out_the_type_and_a_page_may_not(
    path: str, shared_web: WebProcess
) -> None:
    assert post(shared_web, b'{"prompt": "a"}', path).status_code in (200, 202)
    answer = post(shared_web, b'{"prompt": "a"}', path, origin=shared_web.url)
    assert answer.status_code == 415


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "body",
    [
        b'{"prompt": "a", "seed": NaN}',
        b'{"prompt": "a", "seed": 1e400}',
        b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}",
        b'{"prompt": "a", "prompt": "b"}',
        b'{"prompt": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"prompt": ' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "\xff"}',
        b"not json",
    ],
    ids=["nan", "1e400", "digits", "twice", "deep", "deeper than 32", "half", "bytes", "no json"],
)
def test_odd_json_is_answered_400(body: bytes, path: str, shared_web: WebProcess) -> None:
    answer = post(shared_web, body, path, content_type="application/json")
    # The deepest is also too large where the limit is small.
    assert answer.status_code in ((400, 413) if len(body) > 65_536 else (400,))
    assert message_of(answer)


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(
    shared_web: WebProcess,
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shared_web.port, timeout=30)
    headers = {**JSON, "Content-Length": str(100 * 2**20), "Expect": "100-continue"}
    connection.request("POST", "/api/v1/jobs", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["error"]["code"] == "body_too_large"
    connection.close()


@pytest.mark.parametrize("is_chunked", [False, True])
def test_whoever_sends_100_megabytes_reads_a_413(is_chunked: bool, shared_web: WebProcess) -> None:
    part = b" " * 2**20

    def parts():
        for _ in range(100):
            yield part

    headers = JSON if is_chunked else {**JSON, "Content-Length": str(100 * 2**20)}
    answer = httpx.post(
        f"{shared_web.url}/api/v1/jobs", content=parts(), headers=headers, timeout=60
    )
    assert answer.status_code == 413
    assert "65536 bytes" in message_of(answer)


@pytest.mark.parametrize("length", ["-1", "abc", "9" * 19, "9" * 5000, "1, 2"])
def test_a_senseless_length_is_refused(length: str, shared_web: WebProcess) -> None:
    with socket.create_connection(("127.0.0.1", shared_web.port), timeout=30) as connection:
        connection.sendall(
            b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nExpect: 100-continue\r\n"
            + f"Content-Length: {length}\r\n\r\n".encode()
        )
        assert connection.recv(1000).split()[1] in (b"400", b"413")


def test_a_compressed_body_is_refused(shared_web: WebProcess) -> None:
    answer = post(shared_web, b"\x1f\x8b", content_type="application/json", content_encoding="gzip")
    assert answer.status_code == 415


@pytest.mark.parametrize("path", ["/v1/images/edits", "/v1/images/variations"])
def test_pictures_to_edit_are_refused_in_words_and_not_read(
    path: str, shared_web: WebProcess
) -> None:
    answer = shared_web.request("POST", path, files={"image": b"a" * 100_000})
    assert answer.status_code in (400, 404)
    assert message_of(answer)


def test_a_request_without_a_body_needs_no_type(shared_web: WebProcess) -> None:
    assert shared_web.request("POST", "/sdapi/v1/interrupt").status_code == 200


def test_an_empty_body_where_one_is_needed_is_answered_400(shared_web: WebProcess) -> None:
    assert post(shared_web, b"").status_code == 400
    assert post(shared_web, b"", content_type="application/json").status_code == 400


def test_a_caller_who_hangs_up_in_the_middle_of_a_body_leaves_no_trace(
    shared_web: WebProcess,
) -> None:
    lines = len(shared_web.log_lines)
    with socket.create_connection(("127.0.0.1", shared_web.port)) as connection:
        connection.sendall(
            b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        time.sleep(0.05)
    assert shared_web.get("/health").status_code == 200
    assert "Traceback" not in "".join(shared_web.log_lines[lines:])
    assert "ERROR" not in "".join(shared_web.log_lines[lines:])
