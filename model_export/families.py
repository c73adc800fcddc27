"""The model families by name. A new one is one object, in its own file, and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from model_export.demo.family import DEMO
from model_export.family import Family
from model_export.sd14.family import SD14

if TYPE_CHECKING:
    from model_export.spec import ModelSpec

BY_NAME: Mapping[str, Family] = {family.name: family for family in (DEMO, SD14)}


def family(name: str) -> Family:
    """The family of that name; `ModelSpec` has checked it."""
    return BY_NAME[name]


def fingerprint(spec: ModelSpec) -> str:
    """The name of the folder this spec is exported to."""
    return spec.fingerprint(family(spec.family).weights_sha256(spec))
