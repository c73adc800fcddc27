"""Every way in which TF Serving's loader can fail on a published folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from devserver.errors import StartError
from model_export import owners, publish
from model_export.storage import FileStorage
from model_export.warmup import WARMUP_PATH
from tests.model_export.conftest import ExportedModel
from tests.model_export.serving_loader import start_a_server, would_be_loaded

pytestmark = pytest.mark.slow


@pytest.fixture
def published(exported: ExportedModel, tmp_path: Path) -> Path:
    """The tiny model, published where a server looks for it."""
    base = tmp_path / "models" / exported.manifest.fingerprint
    storage = FileStorage(base.as_uri())
    publish.publish(exported.folder, exported.manifest, storage)
    owners.claim(storage, "diffusion-serving/local/model", "1")
    return base


def shard(base: Path) -> Path:
    (found,) = (base / "1" / "variables").glob("variables.data-*")
    return found


def test_a_published_model_loads_and_warms_up(published: Path) -> None:
    assert start_a_server(published) == 4


def test_there_is_one_version_folder_and_nothing_that_looks_like_another(published: Path) -> None:
    """A server takes every child of the folder whose name is a number, even a plain file."""
    numbers = [child.name for child in published.iterdir() if child.name.lstrip("-+").isdigit()]
    assert numbers == ["1"] and (published / "1").is_dir()
    files = FileStorage(published.as_uri()).sizes()
    assert would_be_loaded(files) == ["1"]


def test_a_folder_of_models_is_not_a_model(published: Path) -> None:
    """A base path one level too high finds no version, and the server waits."""
    with pytest.raises(AssertionError, match="wait for ever"):
        start_a_server(published.parent)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no graph": (
        lambda base: (base / "1/saved_model.pb").unlink(),
        "SavedModel file does not exist",
    ),
    "half a graph": (
        lambda base: (base / "1/saved_model.pb").write_bytes(
            (base / "1/saved_model.pb").read_bytes()[:5000]
        ),
        "Cannot parse file",
    ),
    "a graph without any variables": (
        lambda base: shutil.rmtree(base / "1/variables"),
        "warm-up record 0 .* failed: ",
    ),
    "variables without their index": (
        lambda base: (base / "1/variables/variables.index").unlink(),
        "warm-up record 0 .* failed: ",
    ),
    "half an index": (
        lambda base: (base / "1/variables/variables.index").write_bytes(
            (base / "1/variables/variables.index").read_bytes()[:40]
        ),
        "cannot load the model",
    ),
    "a shard missing": (lambda base: shard(base).unlink(), "cannot load the model"),
    "half a shard": (
        lambda base: shard(base).write_bytes(shard(base).read_bytes()[:100_000]),
        "cannot load the model",
    ),
    "half the warm-up requests": (
        lambda base: (base / "1" / WARMUP_PATH).write_bytes(
            (base / "1" / WARMUP_PATH).read_bytes()[:-7]
        ),
        "verify your warmup data is in TFRecord format",
    ),
    "warm-up requests of another model": (
        lambda base: write_wrong_request(base / "1" / WARMUP_PATH),
        "warm-up record 0 .* failed: ",
    ),
    "more than a thousand warm-up requests": (
        lambda base: (base / "1" / WARMUP_PATH).write_bytes(
            (base / "1" / WARMUP_PATH).read_bytes() * 334
        ),
        "more than 1000 warm-up records",
    ),
}


def write_wrong_request(path: Path) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = "serving_default"
    log.predict_log.request.inputs["tokens"].CopyFrom(tf.make_tensor_proto([1]))
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(log.SerializeToString())


@pytest.mark.parametrize("case", list(DAMAGE))
def test_a_damaged_model_fails_to_load_and_is_reported(case: str, published: Path) -> None:
    damage, message = DAMAGE[case]
    damage(published)
    with pytest.raises(StartError, match=message):
        start_a_server(published)
    assert publish.problems(FileStorage(published.as_uri()))


def test_without_warm_up_a_model_without_variables_would_load(published: Path) -> None:
    """Why every model has warm-up requests: TensorFlow reads a missing index as "no variables"."""
    (published / "1/variables/variables.index").unlink()
    (published / "1" / WARMUP_PATH).unlink()
    assert start_a_server(published) == 0


def test_a_foreign_version_folder_would_be_loaded_and_is_not_deleted(published: Path) -> None:
    """Nothing here creates one; `delete` removes only what was published."""
    other = published / "2"
    shutil.copytree(published / "1", other)
    (other / "saved_model.pb").unlink()
    with pytest.raises(StartError, match="SavedModel file does not exist"):
        start_a_server(published)
    storage = FileStorage(published.as_uri())
    owners.remove_all(storage)
    publish.delete(storage)
    assert other.is_dir() and not (published / "1").exists()
