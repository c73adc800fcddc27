"""The paths beside generations."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from model_export.spec import MODEL_NAME
from tests.web.running import WebProcess


def refusal(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert response.headers["x-request-id"]
    return error


def test_the_served_model_is_listed_and_found(api: httpx.Client) -> None:
    listed = api.get("models").json()
    assert listed["object"] == "list"
    (model,) = listed["data"]
    assert (model["id"], model["object"]) == (MODEL_NAME, "model")
    assert isinstance(model["created"], int) and isinstance(model["owned_by"], str)
    assert api.get(f"models/{MODEL_NAME}").json() == model


@pytest.mark.parametrize("name", ["gpt-image-1", "org/model", "%E2%98%83", "..%2f"])
def test_another_model_is_not_found(api: httpx.Client, name: str) -> None:
    error = refusal(api.get(f"models/{name}"), 404)
    assert (error["code"], error["param"]) == ("model_not_found", "model")


@pytest.mark.parametrize("path", ["images/edits", "images/variations"])
@pytest.mark.parametrize("size_bytes", [100, 20 * 1024 * 1024])
def test_edits_and_variations_are_a_typed_error_whatever_they_carry(
    api: httpx.Client, path: str, size_bytes: int
) -> None:
    picture = ("a.png", b"\x89PNG" + bytes(size_bytes), "image/png")
    files = [("image[]", picture), ("image[]", picture), ("mask", picture)]
    error = refusal(api.post(path, data={"prompt": "x"}, files=files), 400)
    assert error["code"] == "unsupported_endpoint"
    assert "/v1/images/generations" in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("POST", "chat/completions", 404), ("GET", "", 404), ("GET", "nothing/here", 404)),
        *(("GET", "images/generations", 405), ("DELETE", "models", 405)),
    ],
)
def test_unknown_paths_and_methods_are_errors_of_openais_shape(
    api: httpx.Client, method: str, path: str, status: int
) -> None:
    refusal(api.request(method, path), status)


def test_the_openapi_document_leaves_openais_api_to_openai(web: WebProcess) -> None:
    paths = web.get("/api/v1/openapi.json").json()["paths"]
    assert not [path for path in paths if path.startswith("/v1")]
