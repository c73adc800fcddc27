"""The settings of a stack: typed, checked once, and the only reader of Pulumi's configuration.

Defaults and descriptions stand in Pulumi.yaml. A wrong value ends the program with one line that
names the key, what it may be, and the command that sets it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

import pulumi
from pulumi.runtime import config as runtime_config

from model_export.spec import FAMILIES, MAX_GUIDANCE_SCALE, SAMPLERS, ModelSpec, SpecError

Target = Literal["local", "gke"]

_SPEC_KEYS = {
    "family": "modelFamily",
    "image_size": "imageSize",
    "sampler": "sampler",
    "steps": "steps",
    "max_steps": "maxSteps",
    "guidance_scale": "guidanceScale",
    "negative_prompt": "negativePrompt",
}
_LOCAL_KEYS = ("restPort", "grpcPort", "queue", "requestTimeoutSeconds")
KEYS = frozenset({"target", *_SPEC_KEYS.values(), *_LOCAL_KEYS})

_PORTS = range(1024, 65536)
_QUEUE = range(1, 1001)
_TIMEOUT_SECONDS = range(1, 3601)


class SettingsError(pulumi.RunError):
    """A setting that is missing or wrong. Pulumi shows its text without a traceback."""

    def __init__(self, key: str, problem: str, example: str | None) -> None:
        """`example` is a value that would do; without one the key is to be removed."""
        remedy = f"Set it with: pulumi config set {key} {example}"
        if example is None:
            remedy = f"Remove it with: pulumi config rm {key}"
        super().__init__(f"{key}: {problem}. {remedy} (or in the stack's file, Pulumi.STACK.yaml)")


@dataclass(frozen=True)
class LocalSettings:
    """How the server on this machine is run."""

    rest_port: int
    grpc_port: int
    queue: int
    request_timeout_seconds: int


@dataclass(frozen=True)
class Settings:
    """Everything that a stack's configuration says."""

    target: Target
    model: ModelSpec
    local: LocalSettings


def load() -> Settings:
    """The settings of the stack that is being deployed."""
    project = pulumi.get_project()
    prefix = f"{project}:"
    values = {
        key.removeprefix(prefix): str(value)
        for key, value in runtime_config.CONFIG.get().items()
        if key.startswith(prefix)
    }
    return parse(values)


def parse(values: Mapping[str, str]) -> Settings:
    """Settings from plain configuration values, keyed without the project's name.

    Raises SettingsError for the first thing that is wrong.
    """
    for key in sorted(values):
        if key not in KEYS:
            raise SettingsError(
                key,
                f"is not a setting of this project (there are: {', '.join(sorted(KEYS))})",
                None,
            )
    return Settings(_target(values), _model(values), _local(values))


def _target(values: Mapping[str, str]) -> Target:
    target = _require(values, "target", "local")
    if target not in get_args(Target):
        raise SettingsError("target", f"must be local or gke, not {target!r}", "local")
    return cast(Target, target)


def _model(values: Mapping[str, str]) -> ModelSpec:
    _choice(values, "modelFamily", FAMILIES)
    _choice(values, "sampler", SAMPLERS)
    try:
        return ModelSpec(
            family=values["modelFamily"],
            image_size=_integer(values, "imageSize", range(1, 4097), "64"),
            sampler=values["sampler"],
            max_steps=(most := _integer(values, "maxSteps", range(1, 51), "50")),
            steps=_integer(values, "steps", range(1, most + 1), "20"),
            guidance_scale=_number(values, "guidanceScale", 1.0, MAX_GUIDANCE_SCALE, "2"),
            negative_prompt=values.get("negativePrompt", ""),
        )
    except SpecError as error:
        raise SettingsError(_SPEC_KEYS[error.key], error.reason, "VALUE") from None


def _local(values: Mapping[str, str]) -> LocalSettings:
    rest_port = _integer(values, "restPort", _PORTS, "8501")
    grpc_port = _integer(values, "grpcPort", _PORTS, "8500")
    if rest_port == grpc_port:
        raise SettingsError("grpcPort", f"must differ from restPort, both are {rest_port}", "8500")
    return LocalSettings(
        rest_port=rest_port,
        grpc_port=grpc_port,
        queue=_integer(values, "queue", _QUEUE, "8"),
        request_timeout_seconds=_integer(values, "requestTimeoutSeconds", _TIMEOUT_SECONDS, "60"),
    )


def _require(values: Mapping[str, str], key: str, example: str) -> str:
    if key not in values:
        raise SettingsError(key, "is missing", example)
    return values[key]


def _choice(values: Mapping[str, str], key: str, allowed: tuple[str, ...]) -> None:
    value = _require(values, key, allowed[0])
    if value not in allowed:
        raise SettingsError(key, f"must be one of {', '.join(allowed)}, not {value!r}", allowed[0])


def _integer(values: Mapping[str, str], key: str, allowed: range, example: str) -> int:
    text = _require(values, key, example)
    bounds = f"must be a whole number from {allowed.start} to {allowed.stop - 1}, not {text!r}"
    try:
        value = int(text)
    except ValueError:
        raise SettingsError(key, bounds, example) from None
    if value not in allowed:
        raise SettingsError(key, bounds, example)
    return value


def _number(
    values: Mapping[str, str], key: str, lowest: float, highest: float, example: str
) -> float:
    text = _require(values, key, example)
    bounds = f"must be a number from {lowest:g} to {highest:g}, not {text!r}"
    try:
        value = float(text)
    except ValueError:
        raise SettingsError(key, bounds, example) from None
    if not lowest <= value <= highest:
        raise SettingsError(key, bounds, example)
    return value
