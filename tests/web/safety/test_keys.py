"""What a keys' file may say, and whose a key is."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.web.keys import ALICE, BOB, CAROL, WRONG, document
from web.safety import keys
from web.safety.keys import Keys, KeysError, parse

HASH = "0123456789abcdef" * 4


def of(*entries: tuple[str, str]) -> Keys:
    return parse(document(*entries).encode())


def test_each_key_has_its_name() -> None:
    two = of(("alice", ALICE), ("bob", BOB))
    assert two.name_of(ALICE.encode()) == "alice"
    assert two.name_of(BOB.encode()) == "bob"
    assert two.names == {"alice", "bob"}


@pytest.mark.parametrize("key", ["", WRONG, ALICE[:-1], ALICE + " ", ALICE.upper(), "ключ"])
def test_any_other_key_has_none(key: str) -> None:
    assert of(("alice", ALICE)).name_of(key.encode()) is None


def test_a_hash_is_no_key() -> None:
    entry = json.loads(document(("alice", ALICE)))["keys"][0]
    assert of(("alice", ALICE)).name_of(entry["sha256"].encode()) is None
    assert of(("alice", ALICE)).name_of(bytes.fromhex(entry["sha256"])) is None


def test_a_name_may_have_two_keys_while_one_is_exchanged() -> None:
    two = of(("alice", ALICE), ("alice", BOB))
    assert {two.name_of(ALICE.encode()), two.name_of(BOB.encode())} == {"alice"}


def test_without_keys_nobody_is_let_in() -> None:
    assert of().name_of(ALICE.encode()) is None


def test_all_hashes_are_compared_in_constant_time_whichever_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare: Callable[[bytes, bytes], bool] = hmac.compare_digest

    def watched(given: bytes, known: bytes) -> bool:
        compared.append((given, known))
        return compare(given, known)

    monkeypatch.setattr(keys.hmac, "compare_digest", watched)
    three = of(("alice", ALICE), ("bob", BOB), ("carol", CAROL))
    for key in (ALICE, CAROL, WRONG):
        compared.clear()
        three.name_of(key.encode())
        assert [known for _, known in compared] == [hashed for _, hashed in three.entries]


def entry(**changed: Any) -> bytes:
    return json.dumps({"keys": [{"name": "alice", "sha256": HASH, **changed}]}).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"\xff", "not UTF-8"),
        (document(("alice", ALICE)).encode()[:-9], "not JSON"),
        (b"[]", "it: "),
        (b"{}", "keys: "),
        (b'{"keys": {"alice": "KEY"}}', "keys: "),
        (b'{"keys": [], "keys": []}', "same key twice"),
        (b'{"keys": [], "KEY": 1}', "has a field that is not known"),
        (entry(name="Alice"), "keys.0.name: "),
        (entry(name="KEY"), "keys.0.name: "),
        (entry(name="a" * 41), "keys.0.name: "),
        (entry(name="alice\n"), "keys.0.name: "),
        (entry(name=""), "keys.0.name: "),
        (entry(sha256="KEY"), "keys.0.sha256: "),
        (entry(sha256=HASH.upper()), "keys.0.sha256: "),
        (entry(sha256=HASH + "\n"), "keys.0.sha256: "),
        (entry(sha256=None), "keys.0.sha256: "),
        (entry(key="KEY"), "keys.0 has a field that is not known: keep to name and sha256"),
        (entry(KEY=""), "keys.0 has a field that is not known"),
        (json.dumps({"keys": [{"name": "a", "sha256": HASH}] * 2}).encode(), "stands in it twice"),
        (json.dumps({"keys": [{"name": "a", "sha256": HASH}] * 1001}).encode(), "1000"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_one_line_that_quotes_nothing_of_it(
    content: bytes, said: str
) -> None:
    with pytest.raises(KeysError) as refused:
        parse(content)
    message = str(refused.value)
    assert said in message
    assert "\n" not in message
    assert "KEY" not in message
    assert HASH not in message
