"""An address that is nearly right: a pasted URL is understood; a wrong port says what to type."""

from __future__ import annotations

import http.server
import socket
import ssl
import subprocess
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from client import Client, ClientError, InputRefusedError
from prediction.errors import Repeat
from tests.client.commands import CommandLine
from tests.client.fake_rpc import FakeRpc
from tests.client.fake_serving import MODEL_NAME, FakeServing


@pytest.fixture
def rpc(server: FakeServing) -> Iterator[FakeRpc]:
    fake = FakeRpc(server)
    yield fake
    fake.close()


@contextmanager
def web_server(context: ssl.SSLContext | None = None) -> Generator[int]:
    """A web server that is no model server, with TLS if a context is given. Yields its port."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    serving = Server(("127.0.0.1", 0), Handler)
    if context is not None:
        serving.socket = context.wrap_socket(serving.socket, server_side=True)
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield serving.server_address[1]
    finally:
        serving.shutdown()
        serving.server_close()
        thread.join()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder = tmp_path_factory.mktemp("certificate")
    key, pem = folder / "key.pem", folder / "certificate.pem"
    _write_certificate(key, pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    return context


def _write_certificate(key: Path, pem: Path) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-keyout", str(key), "-out", str(pem)),
        ],
        check=True,
        capture_output=True,
    )


def failure(endpoint: str) -> ClientError:
    with Client(endpoint, timeout_seconds=10) as client, pytest.raises(ClientError) as raised:
        client.send(client.prepare("a star", seed=1))
    assert "\n" not in str(raised.value)
    return raised.value


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/models/{MODEL_NAME}:predict",
        f"/v1/models/{MODEL_NAME}:predict/",
        f"/v1/models/{MODEL_NAME}",
        f"/v1/models/{MODEL_NAME}/",
        f"/v1/models/{MODEL_NAME}/metadata",
        "/v1/models",
        "/",
    ],
)
def test_a_pasted_url_of_a_request_is_understood(
    run: CommandLine, server: FakeServing, path: str
) -> None:
    ran = run("generate", "x", "--endpoint", server.endpoint + path)
    assert ran.code == 0, ran.err


def test_a_pasted_url_names_the_model() -> None:
    with Client("http://h/prefix/v1/models/mine%20too:predict") as client:
        assert (client.endpoint, client.model_name) == ("http://h/prefix", "mine too")
    with pytest.raises(InputRefusedError, match="the model is 'other' and 'mine': name one"):
        Client("http://h/v1/models/mine", model_name="other")
    with pytest.raises(InputRefusedError, match="the model is 'a' and 'b'"):
        Client(["http://h/v1/models/a", "http://g/v1/models/b"])


@pytest.mark.parametrize("part", ["versions/1", "labels/stable"])
@pytest.mark.parametrize("end", ["", ":predict", "/metadata"])
def test_a_url_with_a_version_says_what_to_type(run: CommandLine, part: str, end: str) -> None:
    ran = run("generate", "x", "--endpoint", f"http://h:8501/v1/models/m/{part}{end}")
    assert ran.code == 3
    assert ran.error_line.endswith("the one that is served: give http://h:8501")


def test_a_pasted_curl_command_says_what_to_type(run: CommandLine) -> None:
    line = "curl -s http://127.0.0.1:8601/v1/models/stable-diffusion:predict -d '{}'"
    ran = run("generate", "x", "--endpoint", line)
    assert ran.code == 3
    assert ran.error_line.endswith("is not an endpoint: give one such as http://127.0.0.1:8601")


def test_each_protocol_names_the_other_where_that_one_listens(
    server: FakeServing, rpc: FakeRpc
) -> None:
    rest, grpc = server.endpoint.partition("://")[2], rpc.endpoint.partition("://")[2]
    assert f"is a gRPC port: use grpc://{grpc}" in str(failure(f"http://{grpc}"))
    no_grpc = failure(f"grpc://{rest}")
    assert "is no gRPC port" in str(no_grpc)
    assert f"use http://{rest}" in str(no_grpc)
    assert no_grpc.repeat is Repeat.NEVER


def test_tls_against_plain_text_names_the_right_scheme(server: FakeServing, rpc: FakeRpc) -> None:
    for endpoint in (server.endpoint, rpc.endpoint):
        bare = endpoint.partition("://")[2]
        error = failure(f"https://{bare}")
        assert f"does not speak TLS: use http://{bare}" in str(error)
        assert error.repeat is Repeat.NEVER


def test_plain_text_against_tls_names_the_right_scheme(certificate: ssl.SSLContext) -> None:
    with web_server(certificate) as port:
        for scheme in ("http", "grpc"):
            error = failure(f"{scheme}://127.0.0.1:{port}")
            assert "speaks TLS" in str(error)
            assert f"https://127.0.0.1:{port}" in str(error)
            assert error.repeat is Repeat.NEVER
        assert "REQUESTS_CA_BUNDLE" in str(failure(f"https://127.0.0.1:{port}"))


def test_a_gateways_answer_to_plain_text_names_tls(server: FakeServing) -> None:
    server.predict_reply = (400, b"<html>The plain HTTP request was sent to HTTPS port</html>")
    error = failure(server.endpoint)
    assert str(error).endswith(f"speaks TLS: use {server.endpoint.replace('http', 'https')}")


def test_a_web_page_is_no_model_server(server: FakeServing) -> None:
    with web_server() as port:
        assert "HTTP 501 and a web page" in str(failure(f"http://127.0.0.1:{port}"))
    server.predict_reply = server.status_reply = (404, b"<!doctype html><title>Not here</title>")
    error = failure(server.endpoint)
    assert "HTTP 404 and a web page" in str(error)
    assert "check that TF Serving" in str(error)
    with Client(server.endpoint) as client, pytest.raises(ClientError, match="a web page"):
        client.status()


def test_another_protocol_is_quoted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                connection.recv(10_000)

        thread = threading.Thread(target=greet)
        thread.start()
        error = failure(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert "does not speak HTTP (it says 'SSH-2.0-OpenSSH_9.2')" in str(error)
