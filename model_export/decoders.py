"""What the setting `decoder` can say. Imports nothing heavy: the settings read it."""

from __future__ import annotations

from pathlib import Path, PurePath

from model_export.spec_error import SpecError, short

FULL, TINY = "full", "tiny"


def check(decoder: str) -> None:
    """Raises SpecError unless it is full, tiny, or tiny:PATH."""
    kind, colon, path = decoder.partition(":")
    has_path = not colon or (kind == TINY and PurePath(path).is_absolute() and "\0" not in path)
    if kind not in (FULL, TINY) or not has_path:
        raise SpecError(
            "decoder",
            f"must be {FULL}, {TINY}, or {TINY}: and the absolute path of a .safetensors file, "
            f"not {short(decoder)}",
        )


def is_tiny(decoder: str) -> bool:
    return decoder.partition(":")[0] == TINY


def path_of(decoder: str) -> Path | None:
    """The file with the tiny decoder's weights, if one is named."""
    _, colon, path = decoder.partition(":")
    return Path(path) if colon else None
