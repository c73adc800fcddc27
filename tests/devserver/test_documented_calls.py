"""The documentation's list of calls is complete, and says how this server answers each."""

from __future__ import annotations

import inspect
import re

import grpc
import pytest

from tests.devserver.processes import NAME, ROOT, Server

_ROW = re.compile(r"\| `((?:GET|POST) /[^`]+|[\w.]+/\w+)` \| ([^|]+) \|")
ANSWERS = dict(_ROW.findall((ROOT / "docs/serving.md").read_text()))
REST = {call: answer for call, answer in ANSWERS.items() if " " in call}
RPC = {call: answer for call, answer in ANSWERS.items() if " " not in call}

# TF Serving 2.20 registers these too, in model_servers/server.cc; no package has their descriptors.
OTHERS = {
    "grpc.health.v1.Health": ("Check", "Watch"),
    "grpc.reflection.v1alpha.ServerReflection": ("ServerReflectionInfo",),
    "tensorflow.ProfilerService": ("Profile", "Terminate", "Monitor"),
}


def test_every_published_method_is_listed() -> None:
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    sources = map(inspect.getsource, (model_service_pb2_grpc, prediction_service_pb2_grpc))
    published = set(re.findall(r"'/(tensorflow\.serving\.\w+/\w+)'", "".join(sources)))
    assert len(published) == 7
    others = {f"{service}/{method}" for service in OTHERS for method in OTHERS[service]}
    assert set(RPC) == published | others


def test_every_rest_path_is_listed() -> None:
    """Those that the two expressions of `http_rest_api_util.cc` match, and the metrics."""
    models = [f"/v1/models/NAME{which}" for which in ("", "/versions/N", "/labels/L")]
    predict = {f"POST {model}:predict" for model in models}
    others = {f"POST {models[0]}:{verb}" for verb in ("classify", "regress")}
    status = {f"GET {model}{rest}" for model in models for rest in ("", "/metadata")}
    assert set(REST) == predict | others | status | {"GET /monitoring/prometheus/metrics"}


@pytest.mark.parametrize(("call", "answer"), REST.items())
def test_a_rest_call_is_answered_as_documented(
    server: Server, batching_server: Server, call: str, answer: str
) -> None:
    method, _, path = call.partition(" ")
    path = path.replace("NAME", NAME).replace("/N", "/123").replace("/L", "/stable")
    asked = batching_server if "--monitoring_config_file" in answer else server
    response = asked.rest(method, path, {"instances": [1]} if method == "POST" else None)
    assert response.status == (200 if answer.startswith("yes") else int(answer[:3]))
    if response.status != 200:
        assert "\n" not in response.error


@pytest.mark.parametrize(("call", "answer"), RPC.items())
def test_a_grpc_call_is_answered_as_documented(server: Server, call: str, answer: str) -> None:
    with grpc.insecure_channel(server.grpc_address) as channel:
        try:
            list(channel.stream_stream("/" + call)(iter([b""]), timeout=20))
            code, details = grpc.StatusCode.OK, ""
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
    assert (code is not grpc.StatusCode.UNIMPLEMENTED) == answer.startswith("yes")
    assert answer.startswith("yes") or details
    assert "\n" not in details
