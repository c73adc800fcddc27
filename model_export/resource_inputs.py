"""The checks of what `ModelExport` was given; in a preview, some of that is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulumi.dynamic import CheckFailure, CheckResult
from pulumi.output import Unknown
from pulumi.runtime.rpc import UNKNOWN

from model_export.spec import ModelSpec, SpecError
from model_export.storage import UrlError, normalised_url

_FINGERPRINT_DIGITS = 16


def checked(news: dict[str, Any]) -> CheckResult:
    """The inputs with a normalised destination, and what is wrong with them."""
    failures = [*_spec_failures(news.get("spec")), *_fingerprint_failures(news)]
    destination = news.get("destination")
    if not _is_unknown(destination):
        try:
            news = {**news, "destination": normalised_url(str(destination or ""))}
        except UrlError as error:
            failures.append(CheckFailure("destination", str(error)))
    return CheckResult(news, failures)


def _spec_failures(spec: object) -> list[CheckFailure]:
    if _is_unknown(spec):
        return []
    if not isinstance(spec, dict):
        return [CheckFailure("spec", "must be an object that describes a model")]
    if any(_is_unknown(value) for value in spec.values()):
        return []
    try:
        ModelSpec.from_json(spec)
    except SpecError as error:
        return [CheckFailure(f"spec.{error.key}", error.reason)]
    except (TypeError, ValueError, OverflowError) as error:
        return [CheckFailure("spec", f"does not describe a model: {error}")]
    return []


def _fingerprint_failures(news: Mapping[str, Any]) -> list[CheckFailure]:
    value = news.get("fingerprint")
    if _is_unknown(value):
        return []
    digits = value if isinstance(value, str) else ""
    if len(digits) == _FINGERPRINT_DIGITS and set(digits) <= set("0123456789abcdef"):
        return []
    return [CheckFailure("fingerprint", f"must be {_FINGERPRINT_DIGITS} hexadecimal digits")]


def _is_unknown(value: object) -> bool:
    return isinstance(value, Unknown) or value == UNKNOWN
