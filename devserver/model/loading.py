"""A SavedModel in a TensorFlow session, as TF Serving holds it: finding, loading and running it.

The session is TensorFlow's C++ `DirectSession`, called below Python's feed checks, so that shapes
and types are checked by the same code, with the same error messages, as in TF Serving. A time limit
is set in the run's options: when it passes, the session cancels the run and waits until it has
stopped; a `tf.while_loop` stops between two steps.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from devserver import config_files
from devserver.errors import Code, ServingError, StartError
from devserver.flags import Flags

DEFAULT_SIGNATURE = "serving_default"
MAX_VERSION = 2**63 - 1


@dataclass(frozen=True)
class TensorEntry:
    """A signature's input or output: the graph's tensor and TensorFlow's name of its type."""

    tensor: str
    dtype: str


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs by alias, sorted as TF Serving's JSON sorts them."""

    name: str
    inputs: Mapping[str, TensorEntry]
    outputs: Mapping[str, TensorEntry]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """TensorProtos of the inputs that a gRPC request may leave out."""


class LoadedModel:
    """One version of a model, ready to run."""

    def __init__(
        self, version: int, session: Any, signature_defs: Any, signatures: Mapping[str, Signature]
    ) -> None:
        self.version = version
        self.signature_defs = signature_defs
        """The SignatureDef messages by name."""
        self.signatures = signatures
        self._session = session
        self._tensors: dict[str, Any] = {}
        for signature in signatures.values():
            for entry in (*signature.inputs.values(), *signature.outputs.values()):
                self._tensors[entry.tensor] = session.graph.get_tensor_by_name(
                    entry.tensor
                )._as_tf_output()

    def run(
        self,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        timeout_seconds: float | None,
    ) -> dict[str, np.ndarray]:
        """The outputs by alias, computed from the inputs by alias.

        Raises:
            ServingError: TensorFlow's error, or DEADLINE_EXCEEDED after the time limit.
        """
        import tensorflow as tf

        c_api: Any = importlib.import_module("tensorflow.python.client.pywrap_tf_session")

        feeds = {self._tensors[signature.inputs[name].tensor]: inputs[name] for name in inputs}
        fetches = [self._tensors[signature.outputs[name].tensor] for name in outputs]
        options = tf.compat.v1.RunOptions()
        if timeout_seconds is not None:
            options.timeout_in_ms = min(max(1, math.ceil(timeout_seconds * 1000)), 2**31 - 1)
        buffer = c_api.TF_NewBufferFromString(options.SerializeToString())
        try:
            values = c_api.TF_SessionRun_wrapper(
                self._session._session, buffer, feeds, fetches, [], None
            )
        except tf.errors.OpError as error:
            raise ServingError(Code(error.error_code), error.message) from None
        finally:
            c_api.TF_DeleteBuffer(buffer)
        return {
            name: _array(value, signature.outputs[name].dtype)
            for name, value in zip(outputs, values, strict=True)
        }


def _array(value: Any, dtype: str) -> np.ndarray:
    """The session returns scalars bare and strings as objects."""
    return np.asarray(value, dtype=np.object_) if dtype == "string" else np.asarray(value)


def find_version(base_path: str) -> tuple[int, Path] | None:
    """The highest numbered folder below `base_path`, as TF Serving's default policy picks it."""
    versions: list[tuple[int, Path]] = []
    base = Path(base_path)
    if not base.is_dir():
        return None
    for child in base.iterdir():
        number = int(child.name) if child.name.isascii() and child.name.isdigit() else -1
        if 0 <= number <= MAX_VERSION and child.is_dir():
            versions.append((number, child))
    return max(versions, default=None)


def load(flags: Flags, version: int, path: Path) -> LoadedModel:
    """Loads the SavedModel in a version folder.

    Raises:
        StartError: it cannot be loaded.
    """
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph, config=_session_config(flags))
    try:
        with graph.as_default():
            meta_graph = tf.compat.v1.saved_model.loader.load(
                session, flags.saved_model_tags.split(","), str(path)
            )
        session._extend_graph()
        signatures = {
            name: _signature(name, message) for name, message in meta_graph.signature_def.items()
        }
        # The initializer is listed among the signatures, but has no tensors to fetch.
        usable = {name: signature for name, signature in signatures.items() if signature}
        return LoadedModel(version, session, meta_graph.signature_def, usable)
    except (tf.errors.OpError, OSError, RuntimeError, ValueError, KeyError) as error:
        raise StartError(f"cannot load the model in {path}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """An error as one line for the user."""
    lines = str(getattr(error, "message", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _session_config(flags: Flags) -> Any:
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto()
    if flags.tensorflow_session_config_file:
        config_files.read(
            "tensorflow_session_config_file", flags.tensorflow_session_config_file, config
        )
    both = flags.tensorflow_session_parallelism
    config.intra_op_parallelism_threads = both or flags.tensorflow_intra_op_parallelism
    config.inter_op_parallelism_threads = both or flags.tensorflow_inter_op_parallelism
    return config


def _signature(name: str, message: Any) -> Signature | None:
    entries = [*message.inputs.values(), *message.outputs.values()]
    if any(entry.WhichOneof("encoding") != "name" or ":" not in entry.name for entry in entries):
        return None
    return Signature(
        name,
        {alias: _entry(message.inputs[alias]) for alias in sorted(message.inputs)},
        {alias: _entry(message.outputs[alias]) for alias in sorted(message.outputs)},
        dict(message.defaults),
    )


def _entry(message: Any) -> TensorEntry:
    enum = message.DESCRIPTOR.fields_by_name["dtype"].enum_type
    name = enum.values_by_number[message.dtype].name
    return TensorEntry(message.name, name.removeprefix("DT_").lower())
