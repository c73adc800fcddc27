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

from infra.settings import doubtful, keys, project_file, unread
from infra.settings import gke as gke_settings
from infra.settings import local as local_settings
from infra.settings.gke import GkeSettings
from infra.settings.local import LocalSettings
from infra.settings.time_budget import TimeBudget, time_budget
from infra.settings.values import SettingsError, boolean, choice, integer, number, required
from infra.settings.web import WEB_CONTAINER
from model_export import precision
from model_export.precision import AUTO
from model_export.prediction_types import PREDICTION_TYPES
from model_export.profiles import PROFILES
from model_export.sources import OFFICIAL, OWN
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
    "max_guidance_scale": "maxGuidanceScale",
    "guidance_scale": "guidanceScale",
    "negative_prompt": "negativePrompt",
    "weights": "weights",
    "loras": "loras",
    "vae": "vae",
    "prediction_type": "predictionType",
    "accept_licence": "acceptLicence",
    "trace": "trace",
    "profile": "profile",
    "decoder": "decoder",
}
_PATHS = {"loras": "/home/ada/style.safetensors:0.8", "vae": "/home/ada/vae.safetensors"}
"""Examples where the default is nothing."""
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
    """A stack's settings. `gke` is set if that is the target, `time_budget` in its mode knative."""

    target: Target
    model: ModelSpec
    server: ServerSettings
    local: LocalSettings
    gke: GkeSettings | None
    time_budget: TimeBudget | None

    @property
    def job_timeout_seconds(self) -> int:
        """For a job of the web service, from its submission."""
        if self.time_budget is not None:
            return self.time_budget.job
        return self.server.request_timeout_seconds


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
    keys.refuse_plain_text(pulumi.get_stack(), project)
    for line in (*unread.lines(config, project, KEYS), *doubtful.lines(values)):
        pulumi.log.warn(line)
    settings = parse(values, config.get("gcp:project"))
    for line in notes(values, settings.model):
        pulumi.log.info(line)
    return settings


def notes(values: Mapping[str, str], model: ModelSpec) -> list[str]:
    """Where `auto` chose otherwise than one would expect: one line each."""
    if values["precision"] != AUTO or model.precision == _fastest_precision(values, model.family):
        return []
    return [precision.WHY_FLOAT32]


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
    server = ServerSettings(
        queue=integer(values, "queue", _QUEUE, "8"),
        request_timeout_seconds=integer(values, "requestTimeoutSeconds", _TIMEOUT_SECONDS, "60"),
    )
    if gke is not None:
        _check_memory(model, gke)
    return Settings(
        target=target,
        model=model,
        server=server,
        local=local_settings.parse(values),
        gke=gke,
        time_budget=_time_budget(model, server, gke),
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
        "decoder": lambda key: values[key],
        "sampler": lambda key: choice(values, key, (AUTO, *SAMPLERS)),
        "steps": lambda key: integer(values, key, range(1, 51), AUTO),
        "max_steps": lambda key: integer(values, key, range(1, 51), AUTO),
        "guidance_scale": lambda key: number(values, key, 1.0, MAX_GUIDANCE_SCALE, AUTO),
        "max_guidance_scale": lambda key: number(values, key, 1.0, MAX_GUIDANCE_SCALE, AUTO),
        "negative_prompt": lambda key: values[key],
        "prediction_type": lambda key: choice(values, key, (AUTO, *PREDICTION_TYPES)),
        "weights": lambda key: values[key],
    }
    chosen = {
        field: read(_SPEC_KEYS[field])
        for field, read in readers.items()
        if required(values, _SPEC_KEYS[field], AUTO) != AUTO
    }
    asked = choice(values, "precision", (AUTO, *PRECISIONS))
    try:
        model = ModelSpec.for_family(
            family,
            precision="float32" if asked == AUTO else asked,
            loras=required(values, "loras", '""'),
            vae=required(values, "vae", '""'),
            accept_licence=required(values, "acceptLicence", '""'),
            trace=boolean(values, "trace"),
            profile=choice(values, "profile", tuple(PROFILES)),
            **chosen,
        )
        if asked == AUTO:
            model = precision.chosen_for(model, _fastest_precision(values, family))
        return model
    except SpecError as error:
        key = _SPEC_KEYS[error.key]
        raise SettingsError(key, error.reason, _example(key, values)) from None


def _example(key: str, values: Mapping[str, str]) -> str | None:
    """A value that may be meant; None where none goes along with the other settings."""
    if key == "acceptLicence":
        return OWN if values["weights"] not in (AUTO, OFFICIAL) else f'"{WEIGHTS_LICENCE}"'
    if key == "weights" and "/" in values[key]:
        return "/home/ada/model.safetensors"
    if key == "vae" and values[key].startswith("/"):
        return None
    return _PATHS.get(key, project_file.defaults()[key])


def _time_budget(
    model: ModelSpec, server: ServerSettings, gke: GkeSettings | None
) -> TimeBudget | None:
    if gke is None or gke.knative is None:
        return None
    # A server has its model in memory, so that this is more than the model's size.
    return time_budget(model.peak_memory(), gke.model_access, server.request_timeout_seconds)


def _check_memory(model: ModelSpec, gke: GkeSettings) -> None:
    needed, web = model.peak_memory() / _GIB, WEB_CONTAINER.memory_mib / 1024
    if gke.pod.memory_gib < needed + web:
        raise SettingsError(
            "memoryRequestGib",
            f"{gke.pod.memory_gib} GiB is too little: the {model.family} model at "
            f"{model.image_size} px in {model.precision} needs {needed:.1f} GiB to draw a picture, "
            f"and the web service {web:g}",
            str(math.ceil(needed + web)),
        )


def _fastest_precision(values: Mapping[str, str], family: str) -> str:
    """The best one for the machines that serve."""
    if values["target"] == "gke":
        return precision.of_machine_type(required(values, "machineType", "n2-standard-4"), family)
    return precision.of_this_machine(family)
