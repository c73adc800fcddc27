"""Shared by the exporter's tests: one tiny exported model, one tokenizer, a stand-in for each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from model_export.checksums import sha256_of
from model_export.manifest import FileEntry, Manifest, Signature
from model_export.spec import EXPORTER_VERSION, ModelSpec

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

ROOT = Path(__file__).resolve().parents[2]
TINY_SPEC = ModelSpec(steps=3, max_steps=6, guidance_scale=4.0, negative_prompt="red")
TINY_WEIGHTS_SHA256 = "ab" * 32


@dataclass(frozen=True)
class ExportedModel:
    """The tiny model in memory, as written to a folder, and as reloaded from it."""

    in_memory: Any
    reloaded: Any
    folder: Path
    manifest: Manifest


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    import tensorflow as tf

    from model_export.export import export
    from model_export.pipeline import TextToImage
    from tests.model_export.tiny_networks import tiny_networks

    tf.random.set_seed(7)  # A seed set at export must not affect the served model.
    networks = tiny_networks()
    folder = tmp_path_factory.mktemp("exported")
    manifest = export(TINY_SPEC, folder, networks=networks, weights_sha256=TINY_WEIGHTS_SHA256)
    in_memory = TextToImage(TINY_SPEC, networks, manifest.fingerprint)
    return ExportedModel(in_memory, tf.saved_model.load(str(folder / "1")), folder, manifest)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    from model_export.tokenizer import ClipTokenizer

    return ClipTokenizer()


@pytest.fixture(scope="session")
def reference_tokenizer() -> Any:
    """keras_cv's own."""
    from keras_cv.src.models.stable_diffusion.clip_tokenizer import SimpleTokenizer

    from model_export.vocabulary import VOCABULARY_FILE

    return SimpleTokenizer(VOCABULARY_FILE)


@pytest.fixture
def made_up_model(tmp_path: Path) -> Callable[..., tuple[Path, Manifest]]:
    """Makes a folder shaped like an exported model, of text files, and its manifest."""

    def make(name: str = "made", **changes: str) -> tuple[Path, Manifest]:
        contents = {
            "1/saved_model.pb": "graph",
            "1/fingerprint.pb": "print",
            "1/variables/variables.index": "index",
            "1/variables/variables.data-00000-of-00001": "data",
            "1/assets/words.txt": "words",
            "1/assets.extra/LICENSE": "licence",
            **changes,
        }
        folder = tmp_path / name
        files: list[FileEntry] = []
        for path, content in contents.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
            files.append(FileEntry(path, len(content), sha256_of(file)))
        manifest = Manifest(
            fingerprint=TINY_SPEC.fingerprint(TINY_WEIGHTS_SHA256),
            exporter_version=EXPORTER_VERSION,
            spec=TINY_SPEC,
            weights_sha256=TINY_WEIGHTS_SHA256,
            versions={},
            parameter_count=1,
            licence="Apache-2.0",
            signatures={"prompt": Signature({"prompt": "string[B]"}, {"seed": "int64[B]"})},
            files=tuple(files),
        )
        return folder, manifest

    return make


@pytest.fixture
def tiny_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the family `demo` by the tiny networks, in this process."""
    from tests.model_export.tiny_networks import tiny_networks

    module = ModuleType("model_export.demo.networks")
    vars(module).update(load=tiny_networks, weights_sha256=lambda: TINY_WEIGHTS_SHA256)
    monkeypatch.setitem(sys.modules, module.__name__, module)


_STAND_IN = """
import sys, types, time, pathlib

family = types.ModuleType("model_export.demo.networks")
family.weights_sha256 = lambda: "{sha256}"

def load(spec):
    gate = pathlib.Path("{gate}")
    gate.with_suffix(".reached").touch()
    deadline = time.monotonic() + 120
    while gate.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    from tests.model_export.tiny_networks import tiny_networks
    return tiny_networks(spec)

family.load = load
sys.modules["model_export.demo.networks"] = family
"""


@dataclass(frozen=True)
class StandInFamily:
    """Makes child processes use the tiny networks as the family `demo`.

    While `gate` exists an export stands still once it has its staging folder, and `reached` says
    that it got there.
    """

    environment: dict[str, str]
    gate: Path

    @property
    def reached(self) -> Path:
        return self.gate.with_suffix(".reached")


@pytest.fixture
def stand_in_family(tmp_path: Path) -> StandInFamily:
    return make_stand_in_family(tmp_path / "stand-in")


def make_stand_in_family(folder: Path) -> StandInFamily:
    folder.mkdir()
    gate = folder / "gate"
    text = _STAND_IN.format(sha256=TINY_WEIGHTS_SHA256, gate=gate)
    (folder / "sitecustomize.py").write_text(text)
    path = os.pathsep.join([str(folder), str(ROOT)])
    return StandInFamily({**os.environ, "PYTHONPATH": path}, gate)


@pytest.fixture
def no_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than drawing with the tiny networks. Here a prompt is one known token."""
    import tensorflow as tf

    from model_export import pipeline
    from model_export.tokenizer import Tokens

    class OneToken(tf.Module):
        def __call__(self, prompts: Any) -> Tokens:
            rows = tf.shape(prompts)[0]
            ids = tf.tile(tf.strings.length(prompts)[:, tf.newaxis], [1, 77])
            return Tokens(ids, tf.fill([rows], 1), tf.fill([rows], False))

    monkeypatch.setattr(pipeline, "ClipTokenizer", OneToken)
