"""The target of a deployment: which stack, and the config its provider gets."""

from __future__ import annotations

from dataclasses import dataclass

from engine.values import PropertyMap


@dataclass(frozen=True)
class Target:
    """The stack a deployment works on."""

    stack: str
    project: str
    provider_inputs: PropertyMap  # the config, as the default provider of this run gets it
