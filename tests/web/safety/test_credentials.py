"""Which key a request carries, and whose it is where keys are not checked."""

from __future__ import annotations

import base64

import pytest

from web.safety.credentials import Header, credentials
from web.safety.owner import ANONYMOUS, hashed


def authorization(text: str) -> Header:
    return b"authorization", text.encode("latin-1")


def api_key(text: str) -> Header:
    return b"x-api-key", text.encode()


def basic(text: str) -> Header:
    return authorization(f"Basic {base64.b64encode(text.encode()).decode()}")


@pytest.mark.parametrize(
    "header",
    [
        authorization("Bearer k1:with:colons"),
        authorization("bearer  k1:with:colons "),
        (b"Authorization", b"BEARER k1:with:colons"),
        api_key("k1:with:colons"),
        basic("me:k1:with:colons"),
        basic("somebody:k1:with:colons"),
        basic(":k1:with:colons"),
    ],
)
def test_the_same_key_is_found_however_it_is_sent(header: Header) -> None:
    assert credentials([(b"host", b"localhost"), header]) == [b"k1:with:colons"]


@pytest.mark.parametrize(
    "header",
    [
        authorization(""),
        authorization("Basic "),
        authorization("Basic"),
        authorization("Bearer "),
        authorization("Basic !!!"),
        authorization("Digest something"),
        authorization("sk-without-a-scheme"),
        api_key(" "),
        basic(":"),
        basic("user"),
        basic("user:"),
        authorization("Basic " + base64.b64encode(b"\xff\xfe").decode()),
    ],
)
def test_an_empty_or_unreadable_credential_is_no_key(header: Header) -> None:
    assert credentials([header]) == [b""]


def test_every_header_that_is_there_for_a_key_counts() -> None:
    headers = [authorization("Bearer a"), api_key("b"), authorization("Bearer c"), basic("x:d")]
    assert credentials(headers) == [b"a", b"b", b"c", b"d"]


def test_no_other_header_is_taken_for_a_key() -> None:
    names = (b"cookie", b"proxy-authorization", b"x-api-keys", b"authorisation")
    assert not credentials([(name, b"Bearer a") for name in names])


def test_other_keys_are_other_owners() -> None:
    keys = ["k1", "k2", "K1", "ключ", ""]
    assert len({hashed(key.encode()) for key in keys}) == len(keys)
    assert hashed(b"") == ANONYMOUS


def test_the_key_cannot_be_read_from_the_owner() -> None:
    assert "very-secret" not in hashed(b"very-secret")
