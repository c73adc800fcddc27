"""The exported folder: its contents, and what must not be in its graph."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest

from model_export import families
from model_export.export import ExportError, export, write_saved_model
from model_export.manifest import Manifest, describe_files
from model_export.spec import EXPORTER_VERSION, FAMILIES, SIGNATURES
from model_export.warmup import WARMUP_PATH
from serving.tensorflow_serving.flags import QUEUES
from tests.model_export.conftest import TINY_SPEC, TINY_WEIGHTS_SHA256, ExportedModel


@pytest.fixture(scope="module")
def saved_model(exported: ExportedModel) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    content = (exported.folder / "1" / "saved_model.pb").read_bytes()
    return saved_model_pb2.SavedModel.FromString(content)


@pytest.fixture(scope="module")
def nodes(saved_model: Any) -> list[Any]:
    """Every operation of the graph and of its functions."""
    graph = saved_model.meta_graphs[0].graph_def
    return [
        *graph.node,
        *(node for function in graph.library.function for node in function.node_def),
    ]


def test_the_manifest_describes_the_folder(exported: ExportedModel) -> None:
    manifest = exported.manifest
    assert Manifest.from_bytes((exported.folder / "manifest.json").read_bytes()) == manifest
    assert manifest.spec == TINY_SPEC
    assert manifest.fingerprint == TINY_SPEC.fingerprint(TINY_WEIGHTS_SHA256)
    assert manifest.exporter_version == EXPORTER_VERSION
    assert manifest.versions["tensorflow"].startswith("2.20.")
    assert manifest.versions["keras_cv"] == "0.9.0"
    assert manifest.versions["python"] == platform.python_version()
    assert manifest.parameter_count == sum(
        variable.shape.num_elements() for variable in exported.in_memory.weights
    )
    assert manifest.licence == "Apache-2.0"
    present = {file.path: file for file in describe_files(exported.folder)}
    present.pop("manifest.json")
    assert present == {file.path: file for file in manifest.files}
    assert {
        "1/saved_model.pb",
        "1/variables/variables.index",
        "1/variables/variables.data-00000-of-00001",
        "1/assets.extra/LICENSE",
        "1/assets.extra/NOTICE",
        f"1/{WARMUP_PATH}",
    } <= set(present)


def test_the_licences_are_in_the_model_folder(exported: ExportedModel) -> None:
    extra = exported.folder / "1" / "assets.extra"
    assert "Apache License" in (extra / "LICENSE").read_text()
    notice = (extra / "NOTICE").read_text()
    assert "Copyright (c) 2021 OpenAI" in notice and "KerasCV" in notice


@pytest.mark.slow
def test_working_warm_up_requests_draw_a_picture_in_chunks_and_a_whole_one(
    exported: ExportedModel,
) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    signatures = exported.reloaded.signatures
    seen = []
    for record in tf.data.TFRecordDataset(str(exported.folder / "1" / WARMUP_PATH)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        inputs = {
            name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()
        }
        signature = signatures[request.model_spec.signature_name]
        expected = signature.structured_input_signature[1]
        assert {name: value.dtype for name, value in inputs.items()} == {
            name: spec.dtype for name, spec in expected.items()
        }
        assert all(value.shape[0] == 1 for value in inputs.values())
        if "num_steps" in inputs:
            assert inputs["num_steps"].numpy().tolist() == [1]
        answer = signature(**inputs)
        if request.model_spec.signature_name == "advance":
            assert answer["step"].numpy().tolist() == [1]
        seen.append(request.model_spec.signature_name)
    assert seen == ["begin", "advance", "finish", "serving_default"]


def test_the_warm_up_records_are_the_same_bytes_in_every_export(exported: ExportedModel) -> None:
    """protobuf writes a map in an order that differs from process to process, unless told."""
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    for record in tf.data.TFRecordDataset(str(exported.folder / "1" / WARMUP_PATH)):
        content = record.numpy()
        assert content == PredictionLog.FromString(content).SerializeToString(deterministic=True)


def test_the_graph_uses_nothing_that_a_stock_server_refuses(nodes: list[Any]) -> None:
    assert not {node.op for node in nodes if "PyFunc" in node.op or node.op.startswith("Xla")}
    assert not [n for n in nodes if "_XlaMustCompile" in n.attr and n.attr["_XlaMustCompile"].b]


def test_no_seed_of_the_exporting_process_is_in_the_graph(nodes: list[Any]) -> None:
    random = [node for node in nodes if "Random" in node.op and "Stateless" not in node.op]
    assert {node.op for node in random} == {"RandomUniformInt"}
    for node in random:  # An absent attribute is the default, 0: a seed from the system.
        assert all(node.attr[name].i == 0 for name in ("seed", "seed2") if name in node.attr)


def test_the_networks_are_in_the_file_only_once(nodes: list[Any]) -> None:
    assert [node.op for node in nodes].count("Conv2D") == 1


def test_no_keras_object_is_saved(saved_model: Any) -> None:
    objects = saved_model.meta_graphs[0].object_graph_def.nodes
    identifiers = {node.user_object.identifier for node in objects}
    assert "_generic_user_object" in identifiers
    assert not {name for name in identifiers if "keras" in name}


def test_the_loop_is_a_while_loop(nodes: list[Any]) -> None:
    """So a cancelled request stops within a step."""
    assert {"While", "StatelessWhile"} & {node.op for node in nodes}


def test_large_variables_are_saved_in_several_files(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.weights = [tf.Variable(tf.fill([1000], float(i))) for i in range(5)]
    write_saved_model(module, {}, tmp_path / "m", max_shard_bytes=8500)
    shards = sorted(path.name for path in (tmp_path / "m" / "variables").glob("*.data-*"))
    assert len(shards) >= 3
    assert all(p.stat().st_size <= 8500 for p in (tmp_path / "m" / "variables").glob("*.data-*"))
    loaded = tf.saved_model.load(str(tmp_path / "m"))
    assert [float(weight[0]) for weight in loaded.weights] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_an_export_into_a_folder_with_a_model_is_refused(
    exported: ExportedModel, tiny_family: None
) -> None:
    with pytest.raises(FileExistsError):
        export(TINY_SPEC, exported.folder)


def test_weights_that_change_while_they_are_read_are_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checksums = iter(["before", "after"])
    family = type(families.family("demo"))
    monkeypatch.setattr(family, "weights_sha256", lambda *_: next(checksums))
    monkeypatch.setattr(family, "load", lambda *_: None)
    with pytest.raises(ExportError, match="the weights were changed while they were read"):
        export(TINY_SPEC, tmp_path / "model")
    assert not list(tmp_path.rglob("manifest.json"))


def test_every_family_of_the_spec_is_known() -> None:
    for name in FAMILIES:
        assert families.family(name)


def test_the_manifest_describes_the_signatures(exported: ExportedModel) -> None:
    signatures = exported.manifest.signatures
    assert set(signatures) == set(SIGNATURES)
    assert len(signatures) == QUEUES  # a server's threads are counted for them
    assert signatures["describe"].inputs == {"query": "string[B]"}
    assert signatures["prompt"].inputs == {"prompt": "string[B]"}
    assert signatures["tokens"].inputs["tokens"] == "int32[B, 77]"
    assert signatures["tokens"].outputs == {"images": "uint8[B, 64, 64, 3]"}
