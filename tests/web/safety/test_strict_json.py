"""JSON that is refused before anybody reads it."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.safety.strict_json import MAX_DEPTH, MAX_VALUES, JsonError, check

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(JSON, st.booleans())
def test_ordinary_json_passes(value: Any, is_ascii: bool) -> None:
    check(json.dumps(value, ensure_ascii=is_ascii).encode())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"a": NaN}', "NaN is not a number"),
        (b"[Infinity]", "Infinity is not a number"),
        (b"[-Infinity]", "-Infinity is not a number"),
        (b"[1e400]", "too large"),
        (b"[-1e400]", "too large"),
        (b"[" + b"9" * 5000 + b"]", "too large"),
        (b"[0." + b"1" * 5000 + b"]", "too large"),
        (b'{"a": 1, "a": 2}', "same key twice"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "same key twice"),
        (b'["\\ud800"]', "surrogate"),
        (b'{"\\uDC00": 1}', "surrogate"),
        (b'"\xff"', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"{", "not JSON"),
        (b"prompt=a", "not JSON"),
        (b'{"a": 1} {"b": 2}', "not JSON"),
        (b'"' + b"\\", "not JSON"),
    ],
)
def test_what_readers_understand_differently_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(JsonError, match=said) as refusal:
        check(body)
    assert "\n" not in str(refusal.value)


def test_a_pair_of_surrogates_is_one_character() -> None:
    check(b'["\\ud83d\\ude00"]')


def test_nesting_is_limited() -> None:
    check(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(JsonError, match="nested deeper"):
        check(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
    with pytest.raises(JsonError, match="values"):
        check(b"[" * 100_000 + b"]" * 100_000)


def test_brackets_in_texts_do_not_count_as_nesting() -> None:
    check(json.dumps({"prompt": "[" * 1000 + '\\"{' * 1000}).encode())


def test_the_number_of_values_is_limited() -> None:
    check(json.dumps([0] * MAX_VALUES).encode())
    with pytest.raises(JsonError, match="more than"):
        check(json.dumps([0] * (MAX_VALUES + 2)).encode())


@pytest.mark.parametrize(
    "body",
    [
        b'"' + b"a" * 16_000_000 + b'"',
        b'"' + b"\\\\" * 2_000_000 + b'"',
        b'"' + b'\\"' * 2_000_000,
        b"[]" * 4_000_000,
        b"1" * 16_000_000,
    ],
    ids=["text", "escapes", "open text", "brackets", "digits"],
)
def test_a_large_body_is_judged_fast(body: bytes) -> None:
    started = time.thread_time()
    with contextlib.suppress(JsonError):
        check(body)
    assert time.thread_time() - started < 1.0
