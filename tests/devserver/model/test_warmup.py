"""The warm-up file: what a server reads from it, and what makes a load fail.

Follows TF Serving's `saved_model_warmup_util.cc` and `saved_model_warmup.cc`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from devserver.errors import StartError
from devserver.execution.predictor import Predictor
from devserver.model import warmup
from devserver.model.loading import LoadedModel, Signature, TensorEntry
from tests.devserver import models


class Noting:
    """Stands in for the model and the predictor, and records what is run."""

    def __init__(self) -> None:
        inputs, outputs = TensorEntry("x:0", "float"), TensorEntry("y:0", "float")
        name = "serving_default"
        self.signatures = {name: Signature(name, {"x": inputs}, {"y": outputs})}
        self.ran: list[Any] = []

    def predict(self, model: Any, signature: Signature, inputs: Any, *others: Any) -> None:
        _, timeout_seconds, _ = others
        assert timeout_seconds is None, "a warm-up has no time limit"
        self.ran.append(inputs["x"].tolist())


def run(folder: Path, passes: int = 1) -> list[Any]:
    noting = Noting()
    warmup.run(cast(LoadedModel, noting), folder, passes, cast(Predictor, noting))
    return noting.ran


def test_a_model_without_the_file_is_not_warmed_up(tmp_path: Path) -> None:
    assert run(tmp_path) == []


def test_the_records_run_in_order_for_each_pass(tmp_path: Path) -> None:
    models.write_warmup(tmp_path, [("", {"x": [1.0]}), ("serving_default", {"x": [2.0]})])
    assert run(tmp_path) == [[1.0], [2.0]]
    assert run(tmp_path, passes=2) == [[1.0], [2.0], [1.0], [2.0]]


def damaged(folder: Path) -> None:
    path = folder / warmup.FILE_NAME
    path.parent.mkdir()
    path.write_bytes(b"not a TFRecord file at all")


def too_long(folder: Path) -> None:
    models.write_warmup(folder, [("", {"x": [1.0]})] * (warmup.MAX_RECORDS + 1))


def of_another_kind(folder: Path) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    log.session_run_log.SetInParent()
    path = folder / warmup.FILE_NAME
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(log.SerializeToString())


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (damaged, "Please verify your warmup data is in TFRecord format."),
        (too_long, "has more than 1000 warm-up records"),
        (of_another_kind, "is a session_run_log; this server runs predict_log only"),
    ],
)
def test_an_invalid_file_fails_the_load_with_one_line(
    tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    write(tmp_path)
    with pytest.raises(StartError) as caught:
        run(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (("none", {"x": [1.0]}), 'FAILED_PRECONDITION: Serving signature key "none" not found.'),
        (("", {"z": [1.0]}), "INVALID_ARGUMENT: Signature input alias: x"),
    ],
)
def test_a_failing_record_fails_the_load(tmp_path: Path, record: Any, message: str) -> None:
    models.write_warmup(tmp_path, [("", {"x": [1.0]}), record])
    with pytest.raises(StartError, match="warm-up record 1 of ") as caught:
        run(tmp_path)
    assert message in str(caught.value)
