"""What the exporter, the settings and the servers know of a model family: one object.

A family's own file describes it, such as `model_export/sd14/family.py`. Imports nothing heavy,
since the settings read it: what needs TensorFlow or a file is behind a method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_export.prediction_types import EPSILON
from model_export.stages import Stage

if TYPE_CHECKING:
    from model_export.networks import Networks
    from model_export.spec import ModelSpec

OnProgress = Callable[[float], None]
"""Called with the fraction that is done, from 0 to 1."""


@dataclass(frozen=True)
class Family(ABC):
    """Models with the same networks: their sizes, defaults, weights and licence.

    weights: the default of the setting `weights`. draws_quickly: a whole picture takes seconds.
    """

    name: str
    image_sizes: tuple[int, ...]
    image_size: int
    precisions: tuple[str, ...]
    guidance_scale: float
    negative_prompt: str
    weights: str
    draws_quickly: bool
    peak_memory_bytes: Mapping[str, Mapping[int, int]]
    """A server's peak, by precision and picture size: from `python -m bench.export_cost` with AVX2,
    rounded up to 50 MB, plus the difference that `make bench` found at 384 px where oneDNN packs
    weights: 0.9 GB in float32, 0.4 in bfloat16."""
    expected_seconds: Mapping[Stage, float]
    """How long the stages of an export take. Rough: only their proportions matter."""
    has_tiny_decoder: bool = False
    """Whether TAESD's decoder understands these latents."""

    @abstractmethod
    def check_weights(self, spec: ModelSpec) -> None:
        """Raises SpecError unless spec.weights and spec.accept_licence say what can be used."""

    @abstractmethod
    def weights_sha256(self, spec: ModelSpec) -> str:
        """Part of every fingerprint. Needs neither TensorFlow nor a download."""

    @abstractmethod
    def size_bytes(self, spec: ModelSpec) -> int:
        """About how much disk space the exported model takes."""

    def has_guidance_embedding(self, spec: ModelSpec) -> bool:
        """Whether the weights are a full latent consistency model's, as far as can be seen."""
        return False

    def prediction_type(self, spec: ModelSpec) -> str:
        """What the weights say that the U-Net predicts, as far as can be seen."""
        return EPSILON

    def needs_fetching(self, spec: ModelSpec) -> bool:
        return False

    def fetch(self, spec: ModelSpec, on_progress: OnProgress) -> None:
        """Downloads the weights and checks them, where that is needed."""
        return

    def downloads(self, spec: ModelSpec) -> Path | None:
        """The folder with what `fetch` has downloaded so far; None if there is nothing."""
        return None

    @abstractmethod
    def load(self, spec: ModelSpec, on_progress: OnProgress) -> Networks: ...

    @abstractmethod
    def licence(self, spec: ModelSpec) -> str:
        """The name of the weights' licence."""

    @abstractmethod
    def licence_files(self, spec: ModelSpec) -> Mapping[str, str]:
        """Texts by file name to publish with the model: at least LICENSE and NOTICE."""
