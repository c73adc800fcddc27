"""Pulumi.yaml: every setting says who reads it, its unit, its bounds, and what can be put there."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from infra.settings import gke, local
from infra.settings import stack as settings
from infra.settings.keys import PLACEHOLDER
from infra.settings.values import SettingsError
from model_export import families
from model_export.prediction_types import PREDICTION_TYPES
from model_export.profiles import PROFILES
from model_export.spec import (
    FAMILIES,
    PRECISIONS,
    SAMPLERS,
    WEIGHTS_LICENCE,
)
from render.recorder import PROJECT, ROOT, stack_config

TEXT = (ROOT / "Pulumi.yaml").read_text(encoding="utf-8")
DECLARED: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["config"]

UNITS = {
    "imageSize": "in pixels",
    "guidanceScale": "a factor",
    "maxSteps": "steps",
    "maxGuidanceScale": "a factor",
    "steps": "steps",
    "queue": "requests",
    "requestTimeoutSeconds": "seconds",
    "restPort": "TCP port",
    "grpcPort": "TCP port",
    "webPort": "TCP port",
    "webMetricsPort": "TCP port",
    "nodeDiskGib": "GiB",
    "minNodes": "nodes",
    "maxNodes": "nodes",
    "minReplicas": "pods",
    "maxReplicas": "pods",
    "cpuTargetPercent": "percent",
    "canaryPercent": "percent",
    "cpuRequest": "in CPUs",
    "memoryRequestGib": "in GiB",
    "latencyBudgetSeconds": "seconds",
    "nodePricePerHour": "in any currency",
}
"""Of every setting that is a number."""

CHOICES = {
    "target": ("local", "gke"),
    "modelFamily": FAMILIES,
    "acceptLicence": (WEIGHTS_LICENCE,),
    "imageSize": tuple(str(s) for one in families.BY_NAME.values() for s in one.image_sizes),
    "precision": ("auto", *PRECISIONS),
    "predictionType": ("auto", *PREDICTION_TYPES),
    "profile": tuple(PROFILES),
    "decoder": ("auto", "full", "tiny", "tiny:/"),
    "sampler": ("auto", *SAMPLERS),
    "steps": ("auto",),
    "maxSteps": ("auto",),
    "maxGuidanceScale": ("auto",),
    "guidanceScale": ("auto",),
    "latencyBudgetSeconds": ("auto",),
    "mode": ("deployment", "knative"),
    "sessionAffinity": ("client", "cookie"),
    "machineType": ("n2-standard-4", "n2-highmem-4", "c3-standard-4", "c3-highmem-4"),
    "imageDigest": ("sha256:",),
    "modelAccess": ("gs", "fuse"),
    "webPython": ("3.11", "3.12", "3.13"),
    "exposeModelServer": ("true", "rest", "false"),
}
"""What the description of a text names; every other one gives an example."""


def heading_of() -> dict[str, str]:
    """The heading above each key."""
    found: dict[str, str] = {}
    heading = ""
    for line in TEXT.partition("\nconfig:\n")[2].splitlines():
        if line.startswith("  # "):
            heading = line.removeprefix("  # ")
        elif key := re.fullmatch(r"  (\w+):", line):
            found[key[1]] = heading
    return found


def stacks_that_read(key: str) -> str:
    if key in gke.KEYS:
        return "Target gke"
    return "Target local" if key in local.KEYS else "Every stack"


def test_every_setting_stands_under_a_heading_that_says_which_stacks_read_it() -> None:
    headings = heading_of()
    assert set(headings) == settings.KEYS
    for key, heading in headings.items():
        assert heading.startswith(f"{stacks_that_read(key)}: ") and heading.endswith("."), key


def test_every_number_has_a_unit() -> None:
    assert {key for key, entry in DECLARED.items() if entry["type"] == "integer"} <= set(UNITS)
    for key, unit in UNITS.items():
        assert unit in DECLARED[key]["description"], key


def test_every_text_names_its_values_or_has_an_example() -> None:
    texts = {key for key, entry in DECLARED.items() if entry["type"] == "string"}
    assert set(CHOICES) <= texts
    for key in texts:
        for one in CHOICES.get(key, ("such as ",)):
            assert one in DECLARED[key]["description"], (key, one)


def test_every_switch_says_whether() -> None:
    for key, entry in DECLARED.items():
        if entry["type"] == "boolean":
            assert entry["description"].startswith("Whether "), key


BOUNDS = [
    (key, int(bounds[1]), int(bounds[2]))
    for key, entry in DECLARED.items()
    if (bounds := re.search(r"from (\d+) to (\d+)", entry["description"]))
]


@pytest.mark.parametrize(("key", "lowest", "highest"), BOUNDS)
def test_the_bounds_in_a_description_are_those_that_are_checked(
    key: str, lowest: int, highest: int
) -> None:
    config = stack_config("dev") | {f"{PROJECT}:acceptLicence": WEIGHTS_LICENCE}
    config |= {f"{PROJECT}:apiKeys": PLACEHOLDER}
    values = {k.removeprefix(f"{PROJECT}:"): v for k, v in config.items()}
    for refused in (lowest - 1, highest + 1):
        with pytest.raises(SettingsError, match=rf"^{key}: .* from {lowest} to {highest}\b"):
            settings.parse(values | {key: str(refused)}, "my-project-1")


def test_a_description_has_bounds_wherever_a_number_has_fixed_ones() -> None:
    assert {key for key, _, _ in BOUNDS} == set(UNITS) - {
        # Auto, or what the machine type leaves.
        "imageSize",
        "cpuRequest",
        "memoryRequestGib",
        # From or to another setting.
        "steps",
        "maxNodes",
        "maxReplicas",
    }
