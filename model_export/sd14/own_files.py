"""People's own files as weights: a checkpoint, a VAE of its own, LoRAs.

Checked by their headers whenever a fingerprint is needed, so that a file of the wrong kind is
refused by a preview. Their checksums are kept until a file changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_export import sources
from model_export.checkpoints.architecture import DECODER, PARTS
from model_export.checkpoints.checkpoint import Checkpoint, Located, open_checkpoint, open_vae
from model_export.checksums import Checksums
from model_export.decoders import is_tiny
from model_export.download import CHECKSUMS_NAME, WeightsError
from model_export.ingredients import Ingredient
from model_export.lora import lcm
from model_export.lora.files import LoraFile, open_lora
from model_export.prediction_types import EPSILON, V
from model_export.reading_report import ReadingReport
from model_export.sd14 import weights
from model_export.sources import OWN, LoraSource

if TYPE_CHECKING:
    import numpy as np

    from model_export.networks import Networks
    from model_export.spec import ModelSpec

_METHOD = "own-1"
"""Part of the checksum: raise it when the same files give other weights."""


def are_used(spec: ModelSpec) -> bool:
    """Whether the model has anything but official or random weights."""
    return bool(spec.loras or spec.vae or spec.weights == OWN or spec.checkpoint_path)


def checkpoint(spec: ModelSpec) -> Checkpoint | None:
    """The checkpoint that the weights come from, with its headers checked. Raises WeightsError."""
    found = _opened(spec)
    if found is None:
        return None
    if found.guidance_embedding is not None and spec.sampler != "lcm":
        raise WeightsError(
            f"{found.path} is a full latent consistency model, which {spec.sampler} cannot draw "
            "with: set sampler to auto, which is lcm for it"
        )
    if found.prediction_type == V and spec.prediction_type != V:
        raise WeightsError(
            f"{found.path} says that it predicts v: set predictionType to auto, or to {V}"
        )
    return found


def is_full_lcm(spec: ModelSpec) -> bool:
    found = _seen(spec)
    return found is not None and found.guidance_embedding is not None


def prediction_type(spec: ModelSpec) -> str:
    """What the files say, or else the usual one."""
    found = _seen(spec)
    return EPSILON if found is None or not found.prediction_type else found.prediction_type


def checksum(spec: ModelSpec) -> str:
    """The checksum that stands for the weights in a fingerprint."""
    found, vae = checkpoint(spec), _vae(spec)
    merged = [(source, _header(source)) for source in loras(spec)]
    base = weights.checksum(spec) if found is None else _digest(found.files)
    parts = [base, *(_digest(_paths(part)) for part in vae)]
    parts += [f"{source.strength!r} {_lora_digest(lora)}" for source, lora in merged]
    return hashlib.sha256("\n".join([_METHOD, *parts]).encode()).hexdigest()


def loras(spec: ModelSpec) -> tuple[LoraSource, ...]:
    """What is merged. Random weights draw noise with LCM-LoRA too: they do without a download."""
    has_random = spec.random_seed is not None
    return tuple(
        one for one in sources.loras(spec.loras) if one.strength and not (one.is_lcm and has_random)
    )


def needs_lcm_lora(spec: ModelSpec) -> bool:
    return any(source.is_lcm for source in loras(spec))


def fill(
    models: Sequence[Any], spec: ModelSpec, on_progress: Callable[[float], None]
) -> tuple[Ingredient, ...]:
    """Fills keras_cv's models, in the order of PARTS, in float32 if there are LoRAs to merge."""
    from model_export.sd14 import variables

    found, vae = checkpoint(spec), _vae(spec)
    by_part = {
        part: variables.by_name(part, model) for part, model in zip(PARTS, models, strict=True)
    }
    merged = [(source, open_lora(_lora_path(source))) for source in loras(spec)]
    filled = {} if found is None else found.parts
    counts = [sum(len(part) for part in (filled or by_part).values())]
    counts += [len(part) for part in vae] + [len(lora.layers) for _, lora in merged]
    done = _Done(sum(counts), on_progress)
    if found is None:
        weights.fill(models, spec, lambda share: done.report(share * counts[0]))
        done.count = counts[0]
    else:
        _fill(by_part, filled, done)
    for part in vae:
        _fill(by_part, {DECODER: part}, done)
    for source, lora in merged:
        _merge(by_part, source, lora, done)
    made_of = [] if found is None else [_of_checkpoint(found)]
    made_of += [_of_vae(spec, part) for part in vae]
    return (*made_of, *(_of_lora(source, lora) for source, lora in merged))


@dataclass
class _Done:
    """Reports the share that is done of a number of tensors."""

    total: int
    on_progress: Callable[[float], None]
    count: int = 0

    def add_one(self) -> None:
        self.count += 1
        self.report(self.count)

    def report(self, count: float) -> None:
        self.on_progress(count / self.total)


def names(spec: ModelSpec) -> list[str]:
    """Of the files and folders, without where they are."""
    paths = [spec.checkpoint_path, sources.vae(spec.vae)]
    paths += [_lora_path(source) for source in loras(spec)]
    return [path.name for path in paths if path is not None]


def with_guidance_embedding(networks: Networks, spec: ModelSpec) -> Networks:
    """With what a full latent consistency model adds to the timestep's embedding, if it is one."""
    import tensorflow as tf

    found = checkpoint(spec) if are_used(spec) else None
    if found is None or found.guidance_embedding is None:
        return networks
    projection = tf.Variable(tf.constant(found.guidance_embedding.read().T), trainable=False)
    variables = [*networks.variables, projection]
    return replace(networks, variables=variables, guidance_embedding=projection)


def _opened(spec: ModelSpec) -> Checkpoint | None:
    if spec.weights == OWN:
        raise WeightsError("weights: own is a published model's: give the path of your file")
    path = spec.checkpoint_path
    if path is None:
        return None
    has_another = bool(spec.vae) or is_tiny(spec.decoder)
    return open_checkpoint(path, has_own_decoder=not has_another)


def _seen(spec: ModelSpec) -> Checkpoint | None:
    """Not a file that cannot be read: the export says what is wrong with it."""
    try:
        return _opened(spec)
    except (WeightsError, OSError):
        return None


def _fill(
    by_part: Mapping[str, Mapping[str, Any]],
    parts: Mapping[str, Mapping[str, Located]],
    done: _Done,
) -> None:
    """One tensor at a time, so that no second copy of the model is in memory."""
    from model_export.sd14.variables import to_keras

    for part, tensors in parts.items():
        for name, located in tensors.items():
            by_part[part][name].assign(to_keras(part, name, located.read()))
            done.add_one()


def _merge(
    by_part: Mapping[str, Mapping[str, Any]], source: LoraSource, lora: LoraFile, done: _Done
) -> None:
    for layer, change in lora.changes():
        _add(by_part[layer.part], layer.part, f"{layer.module}.weight", change * source.strength)
        done.add_one()


def _add(variables: Mapping[str, Any], part: str, name: str, change: np.ndarray) -> None:
    from model_export.sd14.variables import to_keras

    variables[name].assign(variables[name].numpy() + to_keras(part, name, change))


def _vae(spec: ModelSpec) -> list[Mapping[str, Located]]:
    path = sources.vae(spec.vae)
    return [] if path is None else [open_vae(path)]


def _of_checkpoint(found: Checkpoint) -> Ingredient:
    averaged = ", the U-Net's moving average (EMA)" if found.has_ema else ""
    return Ingredient("weights", found.path.name, _digest(found.files), found.formats + averaged)


def _of_vae(spec: ModelSpec, part: Mapping[str, Located]) -> Ingredient:
    return Ingredient("vae", Path(spec.vae).name, _digest(_paths(part)), "the decoder")


def _of_lora(source: LoraSource, lora: LoraFile) -> Ingredient:
    count = lora.key_count
    note = f"strength {source.strength:g}, {count} of {count} keys applied"
    if source.is_lcm:
        note = f"{lcm.SOURCE}, revision {lcm.REVISION}, {lcm.LICENCE}; {note}"
    digest = _lora_digest(None if source.is_lcm else lora)
    return Ingredient("lora", _lora_path(source).name, digest, note)


def _lora_path(source: LoraSource) -> Path:
    return weights.cache_folder() / lcm.FILE.name if source.is_lcm else source.path


def _header(source: LoraSource) -> LoraFile | None:
    """The LoRA, checked; None for LCM-LoRA, which may have to be downloaded yet."""
    return None if source.is_lcm else open_lora(source.path)


def _lora_digest(lora: LoraFile | None) -> str:
    return lcm.FILE.sha256 if lora is None else _digest(lora.paths)


def _paths(part: Mapping[str, Located]) -> list[Path]:
    return list(dict.fromkeys(located.file.path for located in part.values()))


def _digest(paths: Iterable[Path]) -> str:
    """The one file's checksum, or one over all of them."""
    checksums = Checksums(weights.cache_folder() / CHECKSUMS_NAME)
    found = [checksums.sha256(path, ReadingReport(path)) for path in paths]
    return found[0] if len(found) == 1 else hashlib.sha256("\n".join(found).encode()).hexdigest()
