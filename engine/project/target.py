"""The target of a deployment: the stack and the config of its provider."""

from __future__ import annotations

from dataclasses import dataclass

from engine.values import PropertyMap


@dataclass(frozen=True)
class Target:
    """The stack that a deployment changes."""

    stack: str
    project: str
    provider_inputs: PropertyMap  # the config for the default provider
