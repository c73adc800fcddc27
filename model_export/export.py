"""From a spec to a model folder: networks, graph, SavedModel, warm-up, licences, manifest.

TensorFlow is imported inside the functions, so that importing this module stays cheap.
"""

from __future__ import annotations

import platform
import unicodedata
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from model_export.families import family
from model_export.manifest import MANIFEST_NAME, Manifest, Signature, describe_files
from model_export.spec import EXPORTER_VERSION, ModelSpec
from model_export.stages import Stage
from model_export.tiny_decoder.weights import has_taesd
from model_export.vocabulary import VOCABULARY_LICENCE_FILE
from model_export.warmup import BlankStrings, write_warmup_requests

if TYPE_CHECKING:
    import tensorflow as tf

    from model_export.networks import Networks

VERSION_FOLDER = "1"
MAX_SHARD_BYTES = 256 * 2**20
_TINY_DECODER_NOTICE = (
    "The decoder is TAESD's, Copyright (c) 2023 Ollin Boer Bohan, licensed under the MIT License,\n"
    "whose text is that of CLIP's vocabulary below.\n"
)


class ExportError(RuntimeError):
    """A model that could not be written; the message is the line to show."""


class Progress(Protocol):
    """Called when a stage begins, and now and then with its finished fraction, from 0 to 1."""

    def __call__(self, stage: Stage, done: float = 0.0) -> None: ...


def no_progress(stage: Stage, done: float = 0.0) -> None:
    """Reports nothing."""


def stages(spec: ModelSpec) -> list[Stage]:
    """The stages of an export of this spec."""
    skipped = set() if family(spec.family).needs_fetching(spec) else {Stage.FETCH}
    return [stage for stage in Stage if stage not in skipped]


def export(
    spec: ModelSpec,
    folder: Path,
    *,
    networks: Networks | None = None,
    weights_sha256: str | None = None,
    progress: Progress = no_progress,
) -> Manifest:
    """Writes folder/1/… and, last, folder/manifest.json. The folder must be empty or missing.

    The networks are those of the spec's family, unless given together with their checksum. Raises
    ExportError, WeightsError or OSError.
    """
    chosen = family(spec.family)
    weights_sha256 = weights_sha256 or chosen.weights_sha256(spec)
    fingerprint = spec.fingerprint(weights_sha256)
    version_folder = folder / VERSION_FOLDER
    version_folder.mkdir(parents=True)

    if networks is None:
        if chosen.needs_fetching(spec):
            progress(Stage.FETCH)
            chosen.fetch(spec, lambda done: progress(Stage.FETCH, done))
        progress(Stage.LOAD)
        networks = chosen.load(spec, lambda done: progress(Stage.LOAD, done))
        if chosen.weights_sha256(spec) != weights_sha256:
            raise ExportError("the weights were changed while they were read: export again")
    parameter_count, made_of = networks.parameter_count, tuple(networks.made_of)
    signatures, blank = _save(spec, networks, fingerprint, version_folder, progress)
    del networks  # the weights are on disk: free their memory

    progress(Stage.DESCRIBE)
    write_warmup_requests(version_folder, spec, blank)
    _write_licences(spec, chosen.licence_files(spec), version_folder / "assets.extra")
    manifest = Manifest(
        fingerprint=fingerprint,
        exporter_version=EXPORTER_VERSION,
        spec=spec.published(),
        weights_sha256=weights_sha256,
        versions=_versions(),
        parameter_count=parameter_count,
        licence=chosen.licence(spec),
        signatures=signatures,
        files=describe_files(folder),
        made_of=made_of,
    )
    (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())
    return manifest


def _save(
    spec: ModelSpec, networks: Networks, fingerprint: str, folder: Path, progress: Progress
) -> tuple[dict[str, Signature], BlankStrings]:
    """The signatures' descriptions, and what warm-up needs of the model."""
    from model_export.pipeline import TextToImage

    progress(Stage.TRACE)
    model = TextToImage(spec, networks, fingerprint)
    functions = model.signatures()
    progress(Stage.SAVE)
    write_saved_model(model.state(), functions, folder)
    described = {name: _described(function) for name, function in functions.items()}
    before, context = model.chunks.blank_strings(step=0)
    after, _ = model.chunks.blank_strings(step=1)
    return described, BlankStrings(before, after, context)


def _described(function: Any) -> Signature:
    def texts(specs: Mapping[str, Any]) -> dict[str, str]:
        return {
            name: f"{spec.dtype.name}[{', '.join(_axis(size) for size in spec.shape)}]"
            for name, spec in sorted(specs.items())
        }

    return Signature(
        inputs=texts(function.structured_input_signature[1])
        or texts({spec.name: spec for spec in function.structured_input_signature[0]}),
        outputs=texts(function.structured_outputs),
    )


def _axis(size: int | None) -> str:
    return "B" if size is None else str(size)


def write_saved_model(
    state: tf.Module,
    signatures: Mapping[str, Any],
    folder: Path,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Saves the signatures and the state they read, with the variables in small shards.

    An interrupted upload of a large model then resumes by the file.
    """
    import tensorflow as tf

    shards = tf.train.experimental.MaxShardSizePolicy(max_shard_size=max_shard_bytes)
    options = tf.saved_model.SaveOptions(experimental_sharding_callback=shards)
    try:
        tf.saved_model.save(state, str(folder), signatures=dict(signatures), options=options)
    except tf.errors.OpError as error:
        # TensorFlow's runtime writes the variables: it reports a full disk as its own error.
        reason = " ".join(error.message.split())[:200]
        raise ExportError(f"cannot write {folder}: {reason}; free some disk space") from error


def _write_licences(spec: ModelSpec, texts: Mapping[str, str], folder: Path) -> None:
    """The weights' licence, and notices for everything the model is made of."""
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    parts = [
        texts["NOTICE"],
        "The networks are built from layers of KerasCV, Copyright The KerasCV Authors,\n"
        "licensed under the Apache License, Version 2.0.\n",
        *([_TINY_DECODER_NOTICE] if has_taesd(spec) else []),
        VOCABULARY_LICENCE_FILE.read_text(encoding="utf-8"),
    ]
    (folder / "NOTICE").write_text("\n".join(parts), encoding="utf-8")


def _versions() -> dict[str, str]:
    import tensorflow as tf

    return {
        "python": platform.python_version(),
        "unicode": unicodedata.unidata_version,
        "regex": version("regex"),
        "tensorflow": str(tf.__version__),
        "keras": version("keras"),
        "keras_cv": version("keras-cv"),
    }
