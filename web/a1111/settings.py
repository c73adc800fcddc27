"""Options: those of AUTOMATIC1111's settings that clients read, and what they want to change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from web.a1111.checkpoint import Checkpoint, short

CHECKPOINT = "sd_model_checkpoint"

FIXED: dict[str, object] = {
    "sd_vae": "Automatic",
    "sd_model_refiner": "None",
    "CLIP_stop_at_last_layers": 1,
    "samples_format": "png",
    "face_restoration_model": None,
    "img2img_color_correction": False,
    "enable_emphasis": False,
    "live_previews_enable": True,
}
"""What cannot be changed: the model, and how it is asked, are what they are."""

_MAX_NAMED = 8


def options(checkpoint: Checkpoint) -> dict[str, object]:
    """As clients read them. They may post the whole object back."""
    return {CHECKPOINT: checkpoint.title, "sd_checkpoint_hash": checkpoint.hash, **FIXED}


def ignored(wanted: Mapping[str, object], checkpoint: Checkpoint) -> list[str]:
    """The names in `wanted`, but for the checkpoint's, whose values are others than there are."""
    present = options(checkpoint)
    return [
        name
        for name, value in wanted.items()
        if name != CHECKPOINT and value is not None and value != present.get(name)
    ]


def other_checkpoint(wanted: Mapping[str, object], checkpoint: Checkpoint) -> str | None:
    """The checkpoint that a client wants, if it is another one; fit to quote."""
    name = wanted.get(CHECKPOINT)
    if not name or checkpoint.is_called(str(name)):
        return None
    return short(str(name))


def named(names: Iterable[str]) -> str:
    """Names for a note: an answer's header is short."""
    known = [short(name) for name in names]
    more = ", …" if len(known) > _MAX_NAMED else ""
    return ", ".join(known[:_MAX_NAMED]) + more
