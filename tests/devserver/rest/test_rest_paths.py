"""REST other than Predict: paths, model status, metadata, and invalid paths.

The tables follow TF Serving's `http_rest_api_util.cc` and `http_server.cc`.
"""

from __future__ import annotations

import pytest

from tests.devserver.processes import NAME, Server

V1 = f"/v1/models/{NAME}"

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
    ("POST", f"{V1}:classify", 501, "does not support classify"),
    ("GET", "/v1/models/other", 404, "Could not find any versions of model other"),
    ("GET", f"{V1}/versions/5", 404, f"Could not find version 5 of model {NAME}"),
    ("GET", "/v1/models/other/metadata", 404, "Servable not found for request: Latest(other)"),
    ("GET", f"{V1}/labels/l/metadata", 400, "Unrecognized servable version label: l"),
]


@pytest.mark.parametrize(("method", "path", "status", "message"), PATHS)
def test_an_invalid_path_gets_tf_servings_status_and_message(
    server: Server, method: str, path: str, status: int, message: str
) -> None:
    answer = server.rest(method, path)
    assert answer.status == status, answer.body
    assert message in answer.error


def test_a_version_beyond_64_bits_gets_an_empty_response(server: Server) -> None:
    answer = server.rest("GET", f"{V1}/versions/{2**64}")
    assert (answer.status, answer.body) == (400, b"")


def test_a_path_is_accepted_in_any_case_and_encoding(server: Server) -> None:
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


def test_options_requires_an_origin(server: Server) -> None:
    assert server.rest("OPTIONS", V1, headers={"Origin": "http://here"}).status == 200
    assert server.rest("OPTIONS", V1).status == 400


@pytest.mark.parametrize("path", ["", "/versions/123", "/labels/any"])
def test_the_status_shows_the_loaded_version(server: Server, path: str) -> None:
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


def test_the_metadata_describes_the_signatures(server: Server) -> None:
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


def test_a_proxy_style_request_is_accepted(server: Server) -> None:
    answer = server.rest("GET", f"http://example.org{V1}")
    assert answer.json["model_version_status"][0]["version"] == "123"


def test_the_path_metadata_is_lower_case_only(server: Server) -> None:
    assert "model_spec" in server.rest("GET", f"{V1}/metadata").json
    assert "model_version_status" in server.rest("GET", f"{V1}/METADATA").json
