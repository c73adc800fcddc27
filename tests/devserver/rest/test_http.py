"""HTTP itself: connections, chunked bodies, compression, and malformed requests.

Follows TF Serving's `util/net_http` on libevent, except where a limit or a framing is refused.
"""

from __future__ import annotations

import gzip
import http.client
import json
import socket

import pytest

from tests.devserver.processes import NAME, Server

V1 = f"/v1/models/{NAME}"


def test_a_gzipped_request_is_inflated(server: Server) -> None:
    assert server.predict_gzip('{"instances": [2]}').json == {"predictions": [3.0]}


def test_a_body_that_is_not_gzip_counts_as_empty(server: Server) -> None:
    for body in (b"plain", gzip.compress(b'{"instances": [2]}')[:-4]):
        answer = server.rest("POST", f"{V1}:predict", body, {"Content-Encoding": "gzip"})
        assert (answer.status, answer.error) == (400, "JSON Parse error: The document is empty")


def test_a_connection_is_kept_and_carries_many_requests(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=10)
    for value in range(20):
        connection.request("POST", f"{V1}:predict", json.dumps({"instances": [value]}))
        answer = json.loads(connection.getresponse().read())
        assert answer == {"predictions": [value / 2 + 2]}
    connection.close()


def test_a_chunked_body_is_read(server: Server) -> None:
    chunks = iter([b'{"inst', b'ances": [2]}'])
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=10)
    connection.request("POST", f"{V1}:predict", chunks, encode_chunked=True)
    assert json.loads(connection.getresponse().read()) == {"predictions": [3.0]}
    connection.close()


def test_a_client_that_expects_100_continue_gets_it(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as connection:
        connection.sendall(
            f"POST {V1}:predict HTTP/1.1\r\nContent-Length: 18\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b'{"instances": [2]}')
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


RAW = [
    (b"nonsense\r\n\r\n", b" 400 "),
    (b"TRACE /v1/models HTTP/1.1\r\nHost: a\r\n\r\n", b" 501 "),
    (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b" 400 "),
    (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b" 400 "),
    (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", b" 413 "),
    (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b" 400 "),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: what\r\n\r\n", b" 400 "),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n", b" 400 "),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFF\r\n", b" 413 "),
    (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n", b" 414 "),
    (b"GET / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc", b""),
]


@pytest.mark.parametrize(("sent", "status"), RAW)
def test_malformed_http_is_rejected_and_the_connection_closed(
    server: Server, sent: bytes, status: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65536):
            received += part
    if status:
        assert status in received.partition(b"\r\n")[0]
    else:
        assert received == b"", "of a body that is cut there is nothing to say"
    assert b"Traceback" not in received
    assert server.state() == "AVAILABLE"


def test_every_request_is_one_line_in_the_log(server: Server) -> None:
    server.rest("GET", "/v1/models/logged%0Amodel")
    server.predict({"instances": [1]})
    lines = server.log_text().splitlines()
    (logged,) = (line for line in lines if "logged" in line)
    assert "REST GET /v1/models/logged%0Amodel 404 " in logged
    assert any(f"REST POST {V1}:predict 200 " in line and "queued " in line for line in lines)
    assert not any("Traceback" in line for line in lines)
