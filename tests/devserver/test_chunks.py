"""The demo model drawn in chunks by a server: over gRPC, and over REST as far as REST can."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from PIL import Image

from tests.devserver.processes import NAME, Server

pytestmark = pytest.mark.slow

STEPS = 4
ASKED: dict[str, Any] = {
    "prompt": ["a red circle", "a blue star"],
    "negative_prompt": ["", "red"],
    "num_steps": [STEPS, 2],
    "guidance_scale": [3.0, 2.0],
    "seed": [7, 8],
}


@pytest.fixture(scope="module")
def demo_server(demo_model: Path) -> Iterator[Server]:
    running = Server(demo_model).start()
    try:
        yield running.wait_until_ready()
    finally:
        running.stop()


@pytest.fixture(scope="module")
def stub(demo_server: Server) -> Iterator[Any]:
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    with grpc.insecure_channel(demo_server.grpc_address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def ask(stub: Any, signature: str, **inputs: Any) -> dict[str, Any]:
    import numpy as np
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    types = {"num_steps": np.int32, "steps": np.int32, "guidance_scale": np.float32}
    request = predict_pb2.PredictRequest()
    request.model_spec.name = NAME
    request.model_spec.signature_name = signature
    for name, values in inputs.items():
        # An array of numpy's own strings would lose zeros at their ends.
        is_text = isinstance(values[0], str | bytes)
        array = np.array(values, np.object_ if is_text else types.get(name))
        tensor = tf.make_tensor_proto(array)
        request.inputs[name].CopyFrom(tensor)
    outputs = stub.Predict(request, timeout=60).outputs
    return {name: tf.make_ndarray(value).tolist() for name, value in outputs.items()}


@pytest.fixture(scope="module")
def whole(stub: Any) -> dict[str, Any]:
    return ask(stub, "serving_default", **ASKED)


def test_chunks_over_grpc_give_what_one_request_gives(stub: Any, whole: dict[str, Any]) -> None:
    answer = ask(stub, "begin", **ASKED)
    state, context = answer.pop("state"), answer.pop("context")
    for done in ([1, 1], [2, 2], [3, 2], [4, 2]):
        advanced = ask(stub, "advance", state=state, context=context, steps=[1, 1])
        assert (advanced["step"], advanced["num_steps"]) == (done, [STEPS, 2])
        assert Image.open(io.BytesIO(advanced["preview"][0])).size == (16, 16)
        state = advanced["state"]
    assert answer | ask(stub, "finish", state=state) == whole


def test_a_damaged_state_is_an_error_and_the_server_goes_on(
    stub: Any, whole: dict[str, Any]
) -> None:
    begun = ask(stub, "begin", **ASKED)
    for state in (["", ""], begun["context"], [one[:-1] for one in begun["state"]]):
        with pytest.raises(grpc.RpcError) as caught:
            ask(stub, "advance", state=state, context=begun["context"], steps=[1, 1])
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "state is damaged or of another model" in caught.value.details()
    assert ask(stub, "serving_default", **ASKED) == whole


def test_chunks_over_rest_give_what_one_request_gives(
    demo_server: Server, whole: dict[str, Any]
) -> None:
    """REST writes strings as they are unless their name ends in _bytes, so the body is no UTF-8."""

    def post(signature: str, **inputs: Any) -> dict[str, Any]:
        body = {"signature_name": signature, "inputs": inputs}
        answer = demo_server.rest("POST", f"/v1/models/{NAME}:predict", body)
        assert answer.status == 200, answer.body
        return json.loads(answer.body.decode("latin-1"))["outputs"]

    def sent(strings: list[str]) -> list[dict[str, str]]:
        return [{"b64": base64.b64encode(one.encode("latin-1")).decode()} for one in strings]

    begun = post("begin", **ASKED)
    context, state = sent(begun["context"]), sent(begun["state"])
    advanced = post("advance", state=state, context=context, steps=[STEPS, STEPS])
    assert advanced["step"] == [STEPS, 2]
    finished = post("finish", state=sent(advanced["state"]))
    drawn = [base64.b64decode(one["b64"]) for one in finished["image_bytes"]]
    assert drawn == whole["image_bytes"]
    assert Image.open(io.BytesIO(advanced["preview"][1].encode("latin-1"))).size == (16, 16)
