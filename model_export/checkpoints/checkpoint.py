"""A checkpoint of Stable Diffusion 1.x: one file or a diffusers folder, checked by its headers.

Opening reads headers alone; tensors are read one at a time, when a network wants them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_export.checkpoints import architecture, folder
from model_export.checkpoints.architecture import (
    DECODER,
    GUIDANCE_EMBEDDING,
    GUIDANCE_WIDTH,
    PARTS,
    TEXT_ENCODER,
    UNET,
    Shape,
)
from model_export.checkpoints.names import LDM_PREFIXES, ema_name, spellings
from model_export.checkpoints.predictions import V_MARK, prediction_type
from model_export.checkpoints.refusals import (
    is_vae,
    quantised,
    refuse_other_kinds,
    refuse_quantised,
)
from model_export.checkpoints.safetensors import (
    FLOATS,
    SafetensorsFile,
    open_safetensors,
    shown,
)
from model_export.download import WeightsError

if TYPE_CHECKING:
    import numpy as np

_WORDS = {TEXT_ENCODER: "text encoder", UNET: "U-Net", DECODER: "VAE decoder"}
_SHOWN_NAMES = 3
_MANY_MISSING = 10


@dataclass(frozen=True)
class Located:
    """A tensor in a file, and the shape that the network wants it in."""

    file: SafetensorsFile
    name: str
    shape: Shape

    def read(self) -> np.ndarray:
        """In float32."""
        return self.file.read(self.name).reshape(self.shape)


@dataclass(frozen=True)
class Checkpoint:
    """Where each tensor of a model is, by part and canonical name.

    guidance_embedding: what makes it a full latent consistency model; None in others. licence and
    prediction_type: what the files say of them; empty if nothing. files: all that was used, for the
    checksum.
    """

    path: Path
    parts: Mapping[str, Mapping[str, Located]]
    files: tuple[Path, ...]
    has_ema: bool = False
    guidance_embedding: Located | None = None
    licence: str = ""
    prediction_type: str = ""

    @property
    def formats(self) -> str:
        """The number formats of its weights, such as "F16"."""
        found = {
            located.file.tensors[located.name].dtype
            for part in self.parts.values()
            for located in part.values()
        }
        return ", ".join(sorted(found))


def open_checkpoint(path: Path, *, has_own_decoder: bool = True) -> Checkpoint:
    """Raises WeightsError. Its own decoder is left out if another one is used."""
    wanted = [part for part in PARTS if has_own_decoder or part != DECODER]
    found = _open_folder(path, wanted) if path.is_dir() else _open_file(path, wanted)
    for part in wanted:
        if part not in found.parts:
            way = "name one in the setting vae" if part == DECODER else "use a file with all parts"
            raise WeightsError(f"{path} has no {_WORDS[part]}: {way}")
    return found


def open_vae(path: Path) -> Mapping[str, Located]:
    """Where each tensor of its decoder is. Raises WeightsError."""
    if path.is_dir():
        folder.check_vae(path)
        paths = folder.weights_files(path.parent, path.name)
        if not paths:
            raise WeightsError(f"{path} has no .safetensors file of a VAE: name one in vae")
    else:
        paths = [path]
    files = [open_safetensors(one) for one in paths]
    if not is_vae(name for file in files for name in file.tensors):
        raise WeightsError(f"{path} is no VAE of Stable Diffusion 1.x: use another for vae")
    for file in files:
        refuse_quantised(file)
    return _located(files, DECODER, path)


def _open_file(path: Path, wanted: Iterable[str]) -> Checkpoint:
    file = open_safetensors(path)
    refuse_quantised(file)
    refuse_other_kinds(path, {name: tensor.shape for name, tensor in file.tensors.items()})
    parts = {part: found for part in wanted if (found := _part(file, part))}
    averaged = _averaged(file)
    if averaged:
        parts[UNET] = averaged
    return Checkpoint(
        path=path,
        parts=parts,
        files=(path,),
        has_ema=bool(averaged),
        guidance_embedding=_guidance_embedding(file),
        licence=file.metadata.get("modelspec.license", file.metadata.get("license", "")),
        prediction_type=prediction_type(file),
    )


def _open_folder(path: Path, wanted: Iterable[str]) -> Checkpoint:
    described = folder.read(path)
    parts: dict[str, Mapping[str, Located]] = {}
    embedding = None
    for part in wanted:
        paths = folder.weights_files(path, part)
        if not paths:
            continue
        files = [open_safetensors(one) for one in paths]
        for file in files:
            refuse_quantised(file)
        shapes = {name: tensor.shape for file in files for name, tensor in file.tensors.items()}
        if part == UNET:
            refuse_other_kinds(path, shapes)
            embedding = next((one for file in files if (one := _guidance_embedding(file))), None)
        parts[part] = _located(files, part, path)
    used = _files(located for part in parts.values() for located in part.values())
    return Checkpoint(
        path=path,
        parts=parts,
        files=(*described.files, *used),
        guidance_embedding=embedding,
        licence=described.licence,
        prediction_type=described.prediction_type,
    )


def _part(file: SafetensorsFile, part: str) -> dict[str, Located]:
    """The part's tensors in the file; empty if it has none of them, or hardly any."""
    wanted = architecture.SD1.tensors(part)
    known = [name for name in wanted if any(s in file.tensors for s in spellings(part, name))]
    if len(known) < len(wanted) // _MANY_MISSING:
        return {}
    return _located([file], part, file.path)


def _located(files: Iterable[SafetensorsFile], part: str, path: Path) -> dict[str, Located]:
    """Raises WeightsError unless the files have all of the part in the right shapes, no more."""
    of_name = {name: file for file in files for name in file.tensors}
    found: dict[str, Located] = {}
    missing: list[str] = []
    for name, shape in architecture.SD1.tensors(part).items():
        spelling = next((one for one in spellings(part, name) if one in of_name), None)
        if spelling is None:
            missing.append(name)
            continue
        found[name] = _fitting(of_name[spelling], spelling, shape)
    if missing:
        raise WeightsError(
            f"{path}: the {_WORDS[part]} is incomplete, {len(missing)} tensors are missing "
            f"({_some(missing)}): use another file of the model"
        )
    if part == UNET:
        _refuse_others(path, of_name, {located.name for located in found.values()})
    return found


def _fitting(file: SafetensorsFile, name: str, shape: Shape) -> Located:
    tensor = file.tensors[name]
    if _without_ones(tensor.shape) != _without_ones(shape):
        raise WeightsError(
            f"{file.path}: {shown(name)} has the shape {list(tensor.shape)}, and Stable Diffusion "
            f"1.x has {list(shape)}: use a model of that kind"
        )
    if tensor.dtype not in FLOATS:
        raise quantised(file.path, name, tensor.dtype)
    return Located(file, name, shape)


def _without_ones(shape: Shape) -> Shape:
    """Some files have linear layers where others have convolutions of 1 x 1, or of 1."""
    kept = len(shape)
    while kept and shape[kept - 1] == 1:
        kept -= 1
    return shape[:kept]


def _averaged(file: SafetensorsFile) -> dict[str, Located]:
    """The U-Net's moving average, which draws better; empty unless the file has all of it."""
    wanted = architecture.SD1.tensors(UNET)
    if not all(ema_name(name) in file.tensors for name in wanted):
        return {}
    return {name: _fitting(file, ema_name(name), shape) for name, shape in wanted.items()}


def _guidance_embedding(file: SafetensorsFile) -> Located | None:
    shape = (architecture.SD1.timestep, GUIDANCE_WIDTH)
    for name in spellings(UNET, GUIDANCE_EMBEDDING):
        if name in file.tensors:
            return _fitting(file, name, shape)
    return None


def _refuse_others(path: Path, names: Iterable[str], known: set[str]) -> None:
    """A U-Net with a tensor more is another network, whatever the rest looks like."""
    all_names = set(names)
    prefix = LDM_PREFIXES[UNET]
    if not any(name.startswith(prefix) for name in known):
        if any(name.startswith(("first_stage_model.", "vae.", "decoder.")) for name in all_names):
            return
        prefix = ""
    marks = {*spellings(UNET, GUIDANCE_EMBEDDING), V_MARK}
    others = sorted(name for name in all_names - known - marks if name.startswith(prefix))
    if others:
        raise WeightsError(
            f"{path}: the U-Net has {len(others)} tensors that Stable Diffusion 1.x does not have "
            f"({_some(others)}): use a model of that kind"
        )


def _files(located: Iterable[Located]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(one.file.path for one in located))


def _some(names: list[str]) -> str:
    more = ", …" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(shown(name) for name in names[:_SHOWN_NAMES]) + more
