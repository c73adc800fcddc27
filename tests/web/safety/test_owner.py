"""Whose a request is."""

from __future__ import annotations

import base64

import pytest

from web.safety.owner import ANONYMOUS, owner_of


def basic(text: str) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


def test_the_same_key_is_the_same_owner_however_it_is_sent() -> None:
    owners = {
        owner_of(headers)
        for headers in (
            {"authorization": "Bearer k1"},
            {"authorization": "bearer  k1 "},
            {"x-api-key": "k1"},
            basic("me:k1"),
            basic("somebody:k1"),
            basic(":k1"),
        )
    }
    assert len(owners) == 1


def test_other_keys_are_other_owners() -> None:
    keys = ["k1", "k2", "K1", "ключ"]
    assert len({owner_of({"x-api-key": key}) for key in keys} | {ANONYMOUS}) == len(keys) + 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Basic "},
        {"authorization": "Basic"},
        {"authorization": "Bearer "},
        {"authorization": "Basic !!!"},
        {"authorization": "Digest something"},
        {"x-api-key": " "},
        basic(":"),
        basic("user"),
        basic("user:"),
        {"authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()},
    ],
)
def test_an_empty_or_unreadable_credential_is_anonymous(headers: dict[str, str]) -> None:
    assert owner_of(headers) == ANONYMOUS


def test_the_key_cannot_be_read_from_the_owner() -> None:
    assert "very-secret" not in owner_of({"x-api-key": "very-secret"})
