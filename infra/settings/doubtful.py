"""Settings that are valid, but hardly meant."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from infra.settings import project_file
from model_export import families
from model_export.precision import AUTO
from model_export.profiles import INSTANT


def lines(values: Mapping[str, str]) -> list[str]:
    """One for each such setting, of a configuration that need not be valid."""
    found = (_of_the_negative_prompt(values), _of_the_timeout(values))
    file = f"Pulumi.{pulumi.get_stack()}.yaml"
    return [f"{line} in {file}" for line in found if line is not None]


def _of_the_negative_prompt(values: Mapping[str, str]) -> str | None:
    negative_prompt = values.get("negativePrompt", AUTO)
    if negative_prompt in (AUTO, ""):
        return None
    from model_export.token_count import truncation  # reads the vocabulary: 0.1 s

    reason = truncation(negative_prompt)
    return f"negativePrompt: {reason}; shorten it" if reason else None


def _of_the_timeout(values: Mapping[str, str]) -> str | None:
    family = families.BY_NAME.get(values.get("modelFamily", ""))
    if family is None or family.draws_quickly or values.get("profile") == INSTANT:
        return None
    # The default fits a model that draws in seconds.
    default = project_file.defaults()["requestTimeoutSeconds"]
    if values.get("requestTimeoutSeconds") != default:
        return None
    return (
        f"requestTimeoutSeconds: a picture of {family.name} can take minutes, and is given up "
        f"after {default} s; put 600"
    )
