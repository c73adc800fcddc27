"""The settings of the web service's image, and what its container asks of a node."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from infra.settings.machines import Room
from infra.settings.values import SettingsError, choice, required

KEYS = frozenset({"webImage", "webImageBase", "webPython"})

WEB_CONTAINER = Room(millicpu=50, memory_mib=256)
"""Resource requests. The CPU is what every machine type leaves beside whole ones."""

_PYTHONS = ("3.13", "3.12", "3.11")
_PART = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"({_PART}(:\d+)?/)?{_PART}(/{_PART})*"
    r"(:(?P<tag>\w[\w.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_BASE = "gcr.io/distroless/python3-debian13:nonroot"


@dataclass(frozen=True)
class WebSettings:
    """image: a ready one; empty if one is made, on a base image with this version of Python."""

    image: str
    image_base: str
    python: str


def parse(values: Mapping[str, str]) -> WebSettings:
    """Settings from configuration values. Raises SettingsError for the first invalid one."""
    image = required(values, "webImage", '""')
    if image and not _is_pinned(image):
        raise SettingsError(
            "webImage",
            f"must be empty or an image with a version or a digest, not {image!r}",
            '""',
        )
    base = required(values, "webImageBase", _BASE)
    named = _IMAGE.fullmatch(base)
    if named is None or not (named["tag"] or named["digest"]):
        raise SettingsError(
            "webImageBase", f"must be an image with a tag or a digest, not {base!r}", _BASE
        )
    return WebSettings(image, base, choice(values, "webPython", _PYTHONS))


def _is_pinned(image: str) -> bool:
    """Whether it has a digest, or a tag that is a version: one with a digit."""
    named = _IMAGE.fullmatch(image)
    if named is None:
        return False
    tag = named["tag"] or ""
    is_version = bool(re.search(r"\d", tag)) and not tag.startswith(("latest", "nightly"))
    return is_version or named["digest"] is not None
