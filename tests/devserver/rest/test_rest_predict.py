"""Predict over REST: valid requests, responses, errors, and the order of the checks.

The tables follow TF Serving's `util/json_tensor.cc` and `http_rest_api_handler.cc`; the finer rules
of the two formats are in test_json.py, without sockets.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.devserver.processes import NAME, Server

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
def test_a_prediction_has_the_format_of_the_request(
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
def test_an_invalid_request_gets_tf_servings_status_and_message(
    server: Server, request_body: Any, path: str, status: int, message: str
) -> None:
    answer = server.predict(request_body, path)
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.json) == {"error"}
    assert message in answer.error
    assert "Traceback" not in answer.error


ORDER = [
    # (model, body): a request with two errors, of which the first is reported
    ("other", "{", 400, "JSON Parse error"),
    ("other", {"signature_name": 1}, 400, "'signature_name' key must be a string value."),
    ("other", {"signature_name": "none"}, 404, "Servable not found for request: Latest(other)"),
    (NAME, {"signature_name": "none"}, 400, '"none" not found in signature def'),
    (NAME, {"instances": [], "inputs": []}, 400, "expecting only one of"),
    (NAME, {"signature_name": "total", "instances": ["a"]}, 400, "is not of expected type: float"),
]


@pytest.mark.parametrize(("model", "request_body", "status", "message"), ORDER)
def test_of_two_errors_the_first_in_tf_servings_order_is_reported(
    server: Server, model: str, request_body: Any, status: int, message: str
) -> None:
    answer = server.rest("POST", f"/v1/models/{model}:predict", _text(request_body))
    assert (answer.status, message in answer.error) == (status, True), answer.body


def _text(body: Any) -> str:
    return body if isinstance(body, str) else json.dumps(body)


LAYOUTS = [
    (
        {"signature_name": "text", "instances": [{"text": "a", "times": 1}]},
        """{
    "predictions": [
        {
            "echo": "a",
            "image_bytes": {
                "b64": "YQ=="
            },
            "length": 1,
            "long": false
        }
    ]
}""",
    ),
    (
        {"instances": [1, 2]},
        """{
    "predictions": [2.5, 3.0
    ]
}""",
    ),
    (
        {"signature_name": "checked", "instances": [[1, 2]]},
        """{
    "predictions": [[2, 3]
    ]
}""",
    ),
    (
        {"inputs": [1, 1e10]},
        """{
    "outputs": [
        2.5,
        5e+09
    ]
}""",
    ),
    (
        {"inputs": []},
        """{
    "outputs": []
}""",
    ),
    (
        {"signature_name": "total", "inputs": [1]},
        """{
    "outputs": 1.0
}""",
    ),
    (
        [],
        """{
    "error": "JSON Value: [] Is not object"
}""",
    ),
]


@pytest.mark.parametrize(("request_body", "text"), LAYOUTS)
def test_a_response_is_laid_out_as_tf_serving_lays_it_out(
    server: Server, request_body: Any, text: str
) -> None:
    assert server.predict(_text(request_body)).body.decode() == text


def test_not_a_number_and_infinity_come_back_as_bare_words(server: Server) -> None:
    answer = server.predict('{"instances": [NaN, Inf, -Infinity]}')
    assert b"[NaN, Infinity, -Infinity\n" in answer.body


def test_defaults_of_inputs_are_for_grpc_only(server: Server) -> None:
    answer = server.predict({"signature_name": "with_default", "inputs": {"text": ["a"]}})
    assert (answer.status, answer.error) == (400, "Missing named input: times in 'inputs' object.")


def test_a_large_request_and_response_are_accepted(server: Server) -> None:
    text = base64.b64encode(bytes(range(256)) * 8192).decode()
    body = {"signature_name": "text", "inputs": {"text": [{"b64": text}], "times": [2]}}
    answer = server.predict(body)
    # `echo` is binary and not marked as such by its name, so the document as a whole is not
    # valid UTF-8: as in TF Serving.
    picture = json.loads(answer.body.decode("utf-8", "replace"))["outputs"]["image_bytes"][0]
    assert base64.b64decode(picture["b64"]) == bytes(range(256)) * 8192 * 2
