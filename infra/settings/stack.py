"""The settings of a stack: typed, validated once, and the only reader of Pulumi's config.

Defaults and descriptions are in Pulumi.yaml. An invalid value ends the program with one line: the
key, its valid values, and the command that sets it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

import pulumi
from pulumi.runtime import config as runtime_config

from infra.settings import gke as gke_settings
from infra.settings import local as local_settings
from infra.settings import project_file, unread
from infra.settings.gke import GkeSettings
from infra.settings.local import LocalSettings
from infra.settings.values import SettingsError, boolean, choice, integer, number, required
from model_export import precision
from model_export.precision import AUTO
from model_export.profiles import PROFILES
from model_export.spec import (
    FAMILIES,
    MAX_GUIDANCE_SCALE,
    PRECISIONS,
    SAMPLERS,
    WEIGHTS_LICENCE,
    ModelSpec,
    SpecError,
)

Target = Literal["local", "gke"]

_SPEC_KEYS = {
    "family": "modelFamily",
    "image_size": "imageSize",
    "precision": "precision",
    "sampler": "sampler",
    "steps": "steps",
    "max_steps": "maxSteps",
    "guidance_scale": "guidanceScale",
    "negative_prompt": "negativePrompt",
    "weights": "weights",
    "accept_licence": "acceptLicence",
    "trace": "trace",
    "profile": "profile",
}
_SERVER_KEYS = ("queue", "requestTimeoutSeconds")
KEYS = frozenset(
    {
        "target",
        *_SPEC_KEYS.values(),
        *_SERVER_KEYS,
        *local_settings.KEYS,
        *gke_settings.KEYS,
    }
)

_QUEUE = range(1, 1001)
_TIMEOUT_SECONDS = range(1, 3601)
_GIB = 2**30


@dataclass(frozen=True)
class ServerSettings:
    """The limits of a server, on any target."""

    queue: int
    request_timeout_seconds: int


@dataclass(frozen=True)
class Settings:
    """A stack's settings. `gke` is set if that is the target."""

    target: Target
    model: ModelSpec
    server: ServerSettings
    local: LocalSettings
    gke: GkeSettings | None


def load() -> Settings:
    """The settings of the current stack."""
    project = pulumi.get_project()
    prefix = f"{project}:"
    config = runtime_config.CONFIG.get()
    values = {
        key.removeprefix(prefix): str(value)
        for key, value in config.items()
        if key.startswith(prefix)
    }
    for line in (*unread.lines(config, project, KEYS), *warnings(values)):
        pulumi.log.warn(line)
    return parse(values, config.get("gcp:project"))


def warnings(values: Mapping[str, str]) -> list[str]:
    """What is valid, but hardly meant: one line each."""
    negative_prompt = values.get("negativePrompt", AUTO)
    if negative_prompt in (AUTO, ""):
        return []
    from model_export.token_count import truncation  # reads the vocabulary: 0.1 s

    reason = truncation(negative_prompt)
    if reason is None:
        return []
    return [f"negativePrompt: {reason}; shorten it in Pulumi.{pulumi.get_stack()}.yaml"]


def parse(values: Mapping[str, str], gcp_project: str | None = None) -> Settings:
    """Settings from configuration values, keyed without the project's name.

    Raises SettingsError for the first invalid one.
    """
    for key in sorted(values):
        if key not in KEYS:
            meant = unread.likely(key, KEYS)
            hint = f"; did you mean {meant}?" if meant else ""
            known = ", ".join(sorted(KEYS))
            raise SettingsError(
                key, f"is not a setting of this project{hint} (known: {known})", None
            )
    target = _target(values)
    gke = gke_settings.parse(values, gcp_project) if target == "gke" else None
    model = _model(values)
    if gke is not None:
        _check_memory(model, gke)
    return Settings(
        target=target,
        model=model,
        server=ServerSettings(
            queue=integer(values, "queue", _QUEUE, "8"),
            request_timeout_seconds=integer(
                values, "requestTimeoutSeconds", _TIMEOUT_SECONDS, "60"
            ),
        ),
        local=local_settings.parse(values),
        gke=gke,
    )


def _target(values: Mapping[str, str]) -> Target:
    target = required(values, "target", "local")
    if target not in get_args(Target):
        meant = "gke" if target.lower() == "gke" else "local"
        raise SettingsError("target", f"must be local or gke, not {target!r}", meant)
    return cast(Target, target)


def _model(values: Mapping[str, str]) -> ModelSpec:
    family = choice(values, "modelFamily", FAMILIES)
    readers: dict[str, Callable[[str], int | float | str]] = {
        "image_size": lambda key: integer(values, key, range(1, 4097), AUTO),
        "guidance_scale": lambda key: number(values, key, 1.0, MAX_GUIDANCE_SCALE, AUTO),
        "negative_prompt": lambda key: values[key],
        "weights": lambda key: values[key],
    }
    chosen = {
        field: read(_SPEC_KEYS[field])
        for field, read in readers.items()
        if required(values, _SPEC_KEYS[field], AUTO) != AUTO
    }
    try:
        return ModelSpec.for_family(
            family,
            precision=_precision(values, family),
            sampler=choice(values, "sampler", SAMPLERS),
            max_steps=(most := integer(values, "maxSteps", range(1, 51), "50")),
            steps=integer(values, "steps", range(1, most + 1), "20"),
            accept_licence=required(values, "acceptLicence", '""'),
            trace=boolean(values, "trace"),
            profile=choice(values, "profile", tuple(PROFILES)),
            **chosen,
        )
    except SpecError as error:
        key = _SPEC_KEYS[error.key]
        of_licence = error.key == "accept_licence"
        example = f'"{WEIGHTS_LICENCE}"' if of_licence else project_file.defaults()[key]
        raise SettingsError(key, error.reason, example) from None


def _check_memory(model: ModelSpec, gke: GkeSettings) -> None:
    needed = model.peak_memory() / _GIB
    if gke.pod.memory_gib < needed:
        raise SettingsError(
            "memoryRequestGib",
            f"{gke.pod.memory_gib} GiB is too little: the {model.family} model at "
            f"{model.image_size} px in {model.precision} needs {needed:.1f} GiB to draw a picture",
            str(math.ceil(needed)),
        )


def _precision(values: Mapping[str, str], family: str) -> str:
    """The precision setting; `auto` is the best one for the machines that serve."""
    asked = choice(values, "precision", (AUTO, *PRECISIONS))
    if asked != AUTO:
        return asked
    if values["target"] == "gke":
        return precision.of_machine_type(required(values, "machineType", "n2-standard-4"), family)
    return precision.of_this_machine(family)
