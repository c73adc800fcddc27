"""What must accompany Stable Diffusion's weights, by paragraph 4 of their licence."""

from __future__ import annotations

import hashlib
from pathlib import Path

from model_export.checkpoints.safetensors import shown
from model_export.download import WeightsError
from model_export.sd14 import own_files, weights
from model_export.sources import OWN_LICENCE_NAME, WEIGHTS_LICENCE
from model_export.spec import ModelSpec

_RESTRICTIONS_HEADING = "\nAttachment A\n"
_MAX_TEXT_BYTES = 2**20
_MAX_NAME_CHARACTERS = 80

_NOTICE = """\
Stable Diffusion 1.4, as a TensorFlow SavedModel.
The weights are by Robin Rombach, Patrick Esser and contributors, licensed under the
CreativeML Open RAIL-M licence (see LICENSE).

Modified: diffusion-serving converted the weights from Keras files to a SavedModel that
draws pictures of {image_size} px, and stores them as {precision}.

Use is restricted: see USE_RESTRICTIONS, which are that licence's Attachment A. Whoever lets
others use this model, over a network too, has to pass these restrictions on as terms that can
be enforced, and give them a copy of the licence.
"""

_MERGED_NOTICE = """
Before that, these files were merged into the weights, or replaced a part of them:
{files}
"""

_RANDOM_NOTICE = """\
THIS MODEL HAS RANDOM WEIGHTS: it was never trained, and draws noise.
It has the size and the speed of Stable Diffusion 1.4, for tests and benchmarks. The numbers
were drawn by diffusion-serving from seed {seed}.
"""
_RANDOM_LICENCE = "The weights of this model are random numbers, which nobody owns.\n"


_OWN_NOTICE = """\
Stable Diffusion 1.x with somebody's own weights, as a TensorFlow SavedModel:
{made_of}
Their licence: {licence}

Modified: diffusion-serving converted them to a SavedModel that draws pictures of {image_size} px,
and stores them as {precision}.

Most models of this kind were made from Stable Diffusion, whose licence (CreativeML Open RAIL-M)
passes its use restrictions on to them. Whoever lets others use such a model, over a network too,
has to pass these restrictions on as terms that can be enforced, and give a copy of the licence.
"""
_OWN_LICENCE = """\
The licence of these weights: {licence}
Whoever exported them keeps to it, and knows where its text is.
"""
_RAIL_M_NAMES = ("creativeml-openrail-m", WEIGHTS_LICENCE.lower())
"""What files call the licence of Stable Diffusion 1."""


def name(spec: ModelSpec) -> str:
    if spec.random_seed is not None:
        return "none (random weights)"
    found = own_files.checkpoint(spec)
    if found is None or spec.accept_licence == WEIGHTS_LICENCE:
        return WEIGHTS_LICENCE
    if found.licence.lower() in _RAIL_M_NAMES:
        return WEIGHTS_LICENCE
    return shown(found.licence)[:_MAX_NAME_CHARACTERS] or OWN_LICENCE_NAME


def joined(checksum_of_weights: str, spec: ModelSpec) -> str:
    """One checksum for a checkpoint and for what is published of its licence.

    The same weights under another licence are another model: it says so of itself.
    """
    parts = (checksum_of_weights, name(spec), _beside(spec) or "")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def needs_text(spec: ModelSpec) -> bool:
    """Whether the licence's text has to be downloaded for the model."""
    return name(spec) == WEIGHTS_LICENCE and _beside(spec) is None


def files(spec: ModelSpec) -> dict[str, str]:
    """The texts by file name. For trained weights, `weights.fetch` must have been called."""
    if spec.random_seed is not None:
        notice = _RANDOM_NOTICE.format(seed=spec.random_seed)
        return {"LICENSE": _RANDOM_LICENCE, "NOTICE": notice}
    values = {"image_size": spec.image_size, "precision": spec.precision}
    files = "\n".join(f"  {one}" for one in own_files.names(spec))
    if spec.checkpoint_path is None:
        notice = _NOTICE.format(**values) + (_MERGED_NOTICE.format(files=files) if files else "")
        return _of_the_official_licence(weights.licence_text(spec), notice)
    licence = name(spec)
    notice = _OWN_NOTICE.format(made_of=files, licence=licence, **values)
    if licence == WEIGHTS_LICENCE:
        return _of_the_official_licence(_beside(spec) or weights.cached_licence_text(), notice)
    return {"LICENSE": _beside(spec) or _OWN_LICENCE.format(licence=licence), "NOTICE": notice}


def _of_the_official_licence(text: str, notice: str) -> dict[str, str]:
    _, heading, restrictions = text.rpartition(_RESTRICTIONS_HEADING)
    if not heading:
        raise WeightsError("the weights' licence has no Attachment A with the use restrictions")
    return {
        "LICENSE": text,
        "USE_RESTRICTIONS": heading.lstrip() + restrictions,
        "NOTICE": notice,
    }


def _beside(spec: ModelSpec) -> str | None:
    """The licence that lies beside the checkpoint, or in its folder."""
    path = spec.checkpoint_path
    folder = path if path is None or path.is_dir() else path.parent
    if folder is None:
        return None
    for file in (folder / "LICENSE", folder / "LICENSE.txt", folder / "LICENSE.md"):
        if _is_in(folder, file) and file.stat().st_size <= _MAX_TEXT_BYTES:
            text = file.read_text(encoding="utf-8", errors="replace")
            if name(spec) != WEIGHTS_LICENCE or _RESTRICTIONS_HEADING in text:
                return text
    return None


def _is_in(folder: Path, file: Path) -> bool:
    """Not a link out of a folder that somebody made: it could publish any file of this machine.

    Hugging Face's cache links to its own folder `blobs`.
    """
    places = (folder.resolve(), (folder / "../../blobs").resolve())
    return file.is_file() and file.resolve().parent in places
