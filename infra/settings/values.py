"""Parses configuration values; SettingsError reports an invalid one."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from infra.settings import project_file


class SettingsError(pulumi.RunError):
    """A missing or invalid setting. Pulumi shows the message without a traceback."""

    def __init__(
        self, key: str, problem: str, example: str | None, remedy: str | None = None
    ) -> None:
        """`example` is a valid value; None means that the key must be removed.

        remedy: what to do instead of editing the stack's file.
        """
        self.key = key
        self.problem = problem
        super().__init__(f"{key}: {problem}. {remedy or _remedy(key, example)}")


def _remedy(key: str, example: str | None) -> str:
    """A line of the file, since `pulumi config set` needs the CLI and the stack's backend."""
    stack = pulumi.get_stack()
    file = f"Pulumi.{stack}.yaml"
    full_key = key if ":" in key else f"{pulumi.get_project()}:{key}"
    if example is None:
        return f"Remove `{full_key}` from {file}"
    if key in project_file.MAKE_VARIABLES and project_file.is_to_copy(stack):
        return f"Make a stack of your own: {project_file.advice_to_copy(stack)}"
    return f"In {file}, under `config:`, put `{full_key}: {example}`"


def required(values: Mapping[str, str], key: str, example: str) -> str:
    if key not in values:
        raise SettingsError(key, "is missing", example)
    return values[key]


def choice(values: Mapping[str, str], key: str, allowed: tuple[str, ...]) -> str:
    value = required(values, key, allowed[0])
    if value not in allowed:
        meant = value.lower() if value.lower() in allowed else allowed[0]
        raise SettingsError(key, f"must be one of {', '.join(allowed)}, not {value!r}", meant)
    return value


def boolean(values: Mapping[str, str], key: str) -> bool:
    value = required(values, key, "false")
    if value not in ("true", "false"):
        meant = "true" if value.lower() == "true" else "false"
        raise SettingsError(key, f"must be true or false, not {value!r}", meant)
    return value == "true"


def integer(values: Mapping[str, str], key: str, allowed: range, example: str) -> int:
    text = required(values, key, example)
    bounds = f"must be a whole number from {allowed.start} to {allowed.stop - 1}, not {text!r}"
    try:
        value = int(text)
    except ValueError:
        raise SettingsError(key, bounds, example) from None
    if value not in allowed:
        raise SettingsError(key, bounds, example)
    return value


def number(
    values: Mapping[str, str], key: str, lowest: float, highest: float, example: str
) -> float:
    text = required(values, key, example)
    bounds = f"must be a number from {lowest:g} to {highest:g}, not {text!r}"
    try:
        value = float(text)
    except ValueError:
        raise SettingsError(key, bounds, example) from None
    if not lowest <= value <= highest:
        raise SettingsError(key, bounds, example)
    return value
