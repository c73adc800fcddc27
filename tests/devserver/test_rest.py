"""REST over real sockets, against the contract's tables."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.devserver.processes import NAME, Server

V1 = f"/v1/models/{NAME}"

PREDICTIONS = [
    ({"instances": [1.0, 2.0, 5.0]}, {"predictions": [2.5, 3.0, 4.5]}),
    ({"instances": [{"x": 2}]}, {"predictions": [3.0]}),
    ({"inputs": [2, 0]}, {"outputs": [3.0, 2.0]}),
    ({"inputs": {"x": [2]}}, {"outputs": [3.0]}),
    ({"inputs": []}, {"outputs": []}),
    ({"signature_name": "serving_default", "instances": [3]}, {"predictions": [3.5]}),
    ({"signature_name": "", "instances": [3], "unknown": {}}, {"predictions": [3.5]}),
    (
        {"signature_name": "text", "instances": [{"text": "ab", "times": 3}]},
        {
            "predictions": [
                {"image_bytes": {"b64": "YWJhYmFi"}, "echo": "ab", "length": 6, "long": True}
            ]
        },
    ),
    (
        {
            "signature_name": "text",
            "inputs": {"text": ["é", {"b64": "QQ=="}], "times": [1, 2]},
        },
        {
            "outputs": {
                "image_bytes": [{"b64": "w6k="}, {"b64": "QUE="}],
                "echo": ["é", "A"],
                "length": [2, 2],
                "long": [False, False],
            }
        },
    ),
    (
        {"signature_name": "scalars", "inputs": {"integer": -5, "flag": True, "real": 3}},
        {"outputs": {"integer": -5, "flag": False, "real": 1.0}},
    ),
    ({"signature_name": "total", "inputs": [1, 2]}, {"outputs": 3.0}),
    (
        {"signature_name": "checked", "inputs": [[1, 2], [3, 4]]},
        {"outputs": [[2, 3], [4, 5]]},
    ),
]


@pytest.mark.parametrize(("request_body", "answer"), PREDICTIONS)
def test_a_prediction_comes_in_the_format_of_the_request(
    server: Server, request_body: dict[str, Any], answer: dict[str, Any]
) -> None:
    got = server.predict(request_body)
    assert got.status == 200, got.body
    assert got.headers["Content-Type"] == "application/json"
    assert got.json == answer


REFUSALS = [
    # body, path after the name, HTTP status, part of the message
    ("", "", 400, "JSON Parse error: The document is empty"),
    ("instances = [1]", "", 400, "JSON Parse error: Invalid value"),
    ("[1]", "", 400, "Is not object"),
    ({}, "", 400, "Missing 'inputs' or 'instances' key"),
    ({"instances": ["x", "y"]}, "", 400, "not of expected type: float"),
    ({"signature_name": 100}, "", 400, "'signature_name' key must be a string value."),
    (
        {"signature_name": "none", "instances": [1]},
        "",
        400,
        'Serving signature name: "none" not found in signature def',
    ),
    (
        {"instances": [1]},
        "/versions/5",
        404,
        f"Servable not found for request: Specific({NAME}, 5)",
    ),
    ({"instances": [1]}, "/labels/new", 400, "Unrecognized servable version label: new"),
    ({"signature_name": "checked", "inputs": [[1, 2, 3]]}, "", 400, "[1,3]"),
    ({"signature_name": "checked", "inputs": [1]}, "", 400, "[1]"),
    ({"signature_name": "total", "instances": [1]}, "", 400, "Tensor name: y has no shape"),
    (
        {"signature_name": "half_floats", "inputs": [1]},
        "",
        400,
        "Failed to write JSON value for tensor type: bfloat16",
    ),
]


@pytest.mark.parametrize(("request_body", "path", "status", "message"), REFUSALS)
def test_a_wrong_request_gets_the_originals_status_and_message(
    server: Server, request_body: Any, path: str, status: int, message: str
) -> None:
    answer = server.predict(request_body, path)
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.json) == {"error"}
    assert message in answer.error
    assert "Traceback" not in answer.error


PATHS = [
    ("GET", "/v1/foo", 400, "Malformed request: GET /v1/foo"),
    ("POST", "/v1/foo", 400, "Malformed request: POST /v1/foo"),
    ("GET", "/v1/models", 400, "Missing model name in request."),
    ("POST", "/v1/models", 400, "Malformed request"),
    ("GET", "/v1/models/debug/model_name", 400, "Malformed request"),
    ("GET", f"{V1}:predict", 400, "Malformed request"),
    ("POST", f"{V1}/version/50:predict", 400, "Malformed request"),
    ("POST", f"{V1}/versions/HELLO:predict", 400, "Malformed request"),
    ("POST", f"{V1}/versions/5/labels/a:predict", 400, "Malformed request"),
    ("POST", f"{V1}/metadata", 400, "Malformed request"),
    ("POST", f"{V1}:predict?x=1", 400, "Malformed request"),
    ("POST", f"{V1}:PREDICT", 400, "Malformed request"),
    ("GET", f"{V1}?x=1", 404, f"Could not find any versions of model {NAME}?x=1"),
    ("PUT", V1, 400, "Malformed request: PUT"),
    ("DELETE", V1, 400, "Malformed request: DELETE"),
    ("PATCH", V1, 400, "Malformed request: PATCH"),
    ("POST", f"{V1}:classify", 501, "no classify"),
    ("GET", "/v1/models/other", 404, "Could not find any versions of model other"),
    ("GET", f"{V1}/versions/5", 404, f"Could not find version 5 of model {NAME}"),
    ("GET", "/v1/models/other/metadata", 404, "Servable not found for request: Latest(other)"),
    ("GET", f"{V1}/labels/l/metadata", 400, "Unrecognized servable version label: l"),
]


@pytest.mark.parametrize(("method", "path", "status", "message"), PATHS)
def test_a_wrong_path_gets_the_originals_status_and_message(
    server: Server, method: str, path: str, status: int, message: str
) -> None:
    answer = server.rest(method, path)
    assert answer.status == status, answer.body
    assert message in answer.error


def test_a_model_of_another_name_is_not_found_after_its_json_is_parsed(server: Server) -> None:
    path = "/v1/models/other:predict"
    unparsed = server.rest("POST", path, "{")
    assert unparsed.status == 400
    assert "JSON Parse error" in unparsed.error
    unknown = server.rest("POST", path, "{}")
    assert (unknown.status, unknown.error) == (
        404,
        "Servable not found for request: Latest(other)",
    )


def test_a_version_beyond_64_bits_gets_an_empty_answer(server: Server) -> None:
    answer = server.rest("GET", f"{V1}/versions/{2**64}")
    assert (answer.status, answer.body) == (400, b"")


def test_name_and_version_in_the_path_are_taken_in_any_case_and_encoding(server: Server) -> None:
    mixed_case = f"/V1/Models/{NAME}/Versions/0123:predict"
    assert server.rest("POST", mixed_case, '{"instances": [1]}').status == 200
    encoded = NAME.replace("_", "%5F")
    answer = server.rest("POST", f"/v1/models/{encoded}:predict", '{"instances": [1]}')
    assert answer.status == 200


@pytest.mark.parametrize("path", ["/", "/v2/models", "/monitoring/prometheus/metrics", "/v1"])
def test_a_path_outside_the_api_gets_an_html_page(server: Server, path: str) -> None:
    answer = server.rest("GET", path)
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.headers["Connection"] == "close"
    assert b"<html>" in answer.body


def test_options_asks_for_an_origin(server: Server) -> None:
    assert server.rest("OPTIONS", V1, headers={"Origin": "http://here"}).status == 200
    assert server.rest("OPTIONS", V1).status == 400


@pytest.mark.parametrize("path", ["", "/versions/123", "/labels/any"])
def test_the_status_tells_the_loaded_version(server: Server, path: str) -> None:
    answer = server.rest("GET", V1 + path)
    assert answer.status == 200
    assert answer.json == {
        "model_version_status": [
            {
                "version": "123",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }


def test_the_metadata_describe_the_signatures(server: Server) -> None:
    answer = server.rest("GET", f"{V1}/metadata")
    assert answer.status == 200
    assert answer.json["model_spec"] == {"name": NAME, "signature_name": "", "version": "123"}
    signatures = answer.json["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "text", "slow", "__saved_model_init_op"} <= set(signatures)
    signature = signatures["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["defaults"] == {}
    entry = signature["inputs"]["x"]
    assert entry["name"].endswith(":0")
    assert (entry["dtype"], entry["tensor_shape"]) == (
        "DT_FLOAT",
        {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
    )


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


def test_a_client_that_waits_for_leave_to_send_its_body_gets_it(server: Server) -> None:
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
def test_broken_http_is_refused_and_the_connection_ends(
    server: Server, sent: bytes, status: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65536):
            received += part
    assert status in received.partition(b"\r\n")[0]
    assert b"Traceback" not in received
    assert server.state() == "AVAILABLE"


@pytest.mark.parametrize(
    "body",
    [b'{"instances": ' + b"[" * 200_000, b'{"a":' * 100_000, b'{"instances": [' + b"[[" * 50],
)
def test_deeply_nested_json_is_refused(server: Server, body: bytes) -> None:
    answer = server.predict(body)
    assert (answer.status, "Nested deeper" in answer.error) == (400, True)


def test_a_large_request_and_answer_are_taken(server: Server) -> None:
    text = base64.b64encode(bytes(range(256)) * 8192).decode()
    body = {"signature_name": "text", "inputs": {"text": [{"b64": text}], "times": [2]}}
    answer = server.predict(body)
    # `echo` is binary and not marked as such by its name, so the document as a whole is not
    # valid UTF-8: just what the original does.
    picture = json.loads(answer.body.decode("utf-8", "replace"))["outputs"]["image_bytes"][0]
    assert base64.b64decode(picture["b64"]) == bytes(range(256)) * 8192 * 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
documents = st.dictionaries(
    st.sampled_from(["inputs", "instances", "signature_name", "x"]),
    json_values
    | st.dictionaries(st.sampled_from(["x", "text", "times", "pixels", "b64"]), json_values)
    | st.sampled_from(["text", "checked", "scalars", "serving_default"]),
)


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(document=documents)
def test_any_json_gets_a_prediction_or_a_clean_refusal(
    server: Server, document: dict[str, Any]
) -> None:
    answer = server.predict(document)
    assert answer.status in (200, 400, 501), answer.body
    assert b"Traceback" not in answer.body
    if answer.status != 200:
        assert set(answer.json) == {"error"}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.binary(max_size=200))
def test_any_bytes_get_a_clean_refusal(server: Server, body: bytes) -> None:
    answer = server.predict(body)
    assert answer.status == 400
    assert set(answer.json) == {"error"}


def test_every_request_is_one_line_in_the_log(server: Server) -> None:
    server.rest("GET", "/v1/models/logged%0Amodel")
    server.predict({"instances": [1]})
    lines = server.log_text().splitlines()
    assert any("REST GET /v1/models/logged%0Amodel 404 " in line for line in lines)
    assert any(f"REST POST {V1}:predict 200 " in line and "queued " in line for line in lines)
    assert not any("Traceback" in line for line in lines)
