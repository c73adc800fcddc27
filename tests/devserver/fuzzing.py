"""How many inputs a fuzz test tries, and what must hold for every response and the server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.devserver.processes import ROOT, Server

T = TypeVar("T")

LEAKS = ("Traceback", 'File "', "site-packages", str(ROOT), sys.prefix)
"""Strings that only a traceback or a path on the server's machine would contain."""


def tries(count: int, *, long: int) -> pytest.MarkDecorator:
    """Gives the test the argument `count`: `count` here, `long` in the long form."""
    return pytest.mark.parametrize(
        "count",
        [
            pytest.param(count, marks=pytest.mark.slow),
            pytest.param(
                long, marks=[pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(3600)]
            ),
        ],
    )


def fuzz(strategy: st.SearchStrategy[T], count: int, check: Callable[[T], None]) -> None:
    """Checks `count` inputs, the same ones in every run; a failure shows the smallest."""

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def checked(value: T) -> None:
        check(value)

    checked()


def assert_no_leak(text: str) -> None:
    for leak in LEAKS:
        position = text.find(leak)
        assert position < 0, text[max(0, position - 500) : position + 2000]


def assert_json_answer(status: int, body: bytes) -> Any:
    """A REST response's document, with an `error` string or without one."""
    text = body.decode("utf-8", "replace")
    assert_no_leak(text)
    document = json.loads(text)
    assert status not in (500, 502), text
    if status != 200:
        assert list(document) == ["error"], text
        assert isinstance(document["error"], str), text
    return document


def assert_unharmed(server: Server) -> None:
    """It runs, responds, and has logged no internal error."""
    assert server.process.poll() is None, server.output()
    assert server.predict({"instances": [1.0]}).json == {"predictions": [2.5]}
    log = server.log_text()
    assert_no_leak(log)
    assert " ERROR " not in log
