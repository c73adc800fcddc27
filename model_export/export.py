"""From a spec to a model folder: networks, graph, SavedModel, warm-up, licences, manifest.

TensorFlow is imported inside the functions, so that importing this module stays cheap.
"""

from __future__ import annotations

import platform
import shutil
import unicodedata
from collections.abc import Callable, Mapping
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_export.families import Family, family
from model_export.manifest import MANIFEST_NAME, Manifest, describe_files
from model_export.spec import EXPORTER_VERSION, ModelSpec
from model_export.vocabulary import VOCABULARY_LICENCE_FILE
from model_export.warmup import write_warmup_requests

if TYPE_CHECKING:
    import tensorflow as tf

    from model_export.networks import Networks

VERSION_FOLDER = "1"
MAX_SHARD_BYTES = 256 * 2**20


class Stage(Enum):
    """The parts of an export, in order."""

    LOAD = "load TensorFlow and the networks"
    TRACE = "trace the graph"
    SAVE = "save the model"
    DESCRIBE = "write warm-up requests and the manifest"
    PUBLISH = "publish"


Progress = Callable[[Stage], None]


def export(
    spec: ModelSpec,
    folder: Path,
    *,
    networks: Networks | None = None,
    weights_sha256: str | None = None,
    progress: Progress = lambda _stage: None,
) -> Manifest:
    """Writes folder/1/… and, last, folder/manifest.json. The folder must be empty or missing.

    The networks are the spec's family's, unless given together with their checksum.
    """
    chosen = family(spec.family)
    weights_sha256 = weights_sha256 or chosen.weights_sha256()
    fingerprint = spec.fingerprint(weights_sha256)
    version_folder = folder / VERSION_FOLDER
    version_folder.mkdir(parents=True)

    progress(Stage.LOAD)
    networks = networks or chosen.load(spec)
    _save(spec, networks, fingerprint, version_folder, progress)

    progress(Stage.DESCRIBE)
    write_warmup_requests(version_folder)
    _write_licences(chosen, version_folder / "assets.extra")
    manifest = Manifest(
        fingerprint=fingerprint,
        exporter_version=EXPORTER_VERSION,
        spec=spec,
        weights_sha256=weights_sha256,
        versions=_versions(),
        parameter_count=networks.parameter_count,
        licence=chosen.licence,
        files=describe_files(folder),
    )
    (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())
    return manifest


def _save(
    spec: ModelSpec, networks: Networks, fingerprint: str, folder: Path, progress: Progress
) -> None:
    from model_export.pipeline import TextToImage

    progress(Stage.TRACE)
    model = TextToImage(spec, networks, fingerprint)
    signatures = model.signatures()
    progress(Stage.SAVE)
    write_saved_model(model.state(), signatures, folder)


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
    tf.saved_model.save(state, str(folder), signatures=dict(signatures), options=options)


def _write_licences(chosen: Family, folder: Path) -> None:
    """The weights' licence, and the notice of all that the model is made of."""
    shutil.copyfile(chosen.licence_file, folder / "LICENSE")
    parts = [
        chosen.notice,
        "The networks are built from layers of KerasCV, Copyright The KerasCV Authors,\n"
        "licensed under the Apache License, Version 2.0.\n",
        VOCABULARY_LICENCE_FILE.read_text(),
    ]
    (folder / "NOTICE").write_text("\n".join(parts))


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
