"""The fingerprint that comes with a picture: the model's, and what the user should know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_export.profiles import EXACT, PROFILES

if TYPE_CHECKING:
    from model_export.spec import ModelSpec

RANDOM_WEIGHTS_MARK = "-random-weights"
"""Ends the fingerprint that a model with random weights reports with every picture."""
_PROFILE_MARK = "-"
"""Precedes the name of a profile other than exact in a reported fingerprint."""


def reported_fingerprint(spec: ModelSpec, fingerprint: str) -> str:
    """The fingerprint that a model reports with every picture.

    It includes what the user should know: the profile, and whether the weights are random.
    """
    profile = "" if spec.profile == EXACT else _PROFILE_MARK + spec.profile
    return fingerprint + profile + ("" if spec.random_seed is None else RANDOM_WEIGHTS_MARK)


def reported_profile(fingerprint: str) -> str:
    """The profile named in a fingerprint that came with a picture."""
    name = fingerprint.removesuffix(RANDOM_WEIGHTS_MARK).partition(_PROFILE_MARK)[2]
    return name if name in PROFILES else EXACT
