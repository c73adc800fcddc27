"""Originals, copies and moved checkouts, told apart by the record in their state folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from infra import checkout
from model_export.checkout import lies_in_another_checkout


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """The state folder of a checkout in A."""
    state = tmp_path / "A/.state"
    checkout.adopt(state)
    return state


def copy_of(state: Path, name: str) -> Path:
    target = state.parent.with_name(name)
    shutil.copytree(state.parent, target, symlinks=True)
    return target / state.name


def test_a_checkout_is_its_own_original(original: Path) -> None:
    before = (original / checkout.RECORD_NAME).read_bytes()
    assert checkout.original_of(original) is None
    checkout.adopt(original)
    assert (original / checkout.RECORD_NAME).read_bytes() == before


def test_a_copy_knows_its_original_until_it_is_adopted(original: Path) -> None:
    copy = copy_of(original, "B")
    assert checkout.original_of(copy) == original
    assert checkout.original_of(original) is None
    checkout.adopt(copy)
    assert checkout.original_of(copy) is None
    assert checkout.original_of(copy_of(copy, "C")) == copy


def test_a_moved_checkout_is_no_copy(original: Path) -> None:
    moved = original.parent.rename(original.parent.with_name("B")) / ".state"
    assert checkout.original_of(moved) is None
    checkout.adopt(original)  # another clone where the checkout was
    assert checkout.original_of(moved) is None
    checkout.adopt(moved)
    assert checkout.original_of(copy_of(moved, "C")) == moved


def test_the_same_folder_by_another_path_is_no_copy(original: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(original.parent)
    assert checkout.original_of(link / ".state") is None
    checkout.adopt(link / ".state")
    assert checkout.original_of(original) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"path": "/nowhere"}', "\udcff"])
def test_a_folder_without_a_valid_record_is_adopted(tmp_path: Path, content: str) -> None:
    state = tmp_path / ".state"
    state.mkdir()
    (state / checkout.RECORD_NAME).write_text(content, errors="surrogateescape")
    assert checkout.original_of(state) is None
    checkout.adopt(state)
    record = json.loads((state / checkout.RECORD_NAME).read_text())
    assert record["path"] == str(state)


def test_files_of_another_checkout_are_known_by_their_state_folder(original: Path) -> None:
    copy = copy_of(original, "B")
    assert lies_in_another_checkout(original / "models/x", own=copy)
    assert not lies_in_another_checkout(copy / "models/x", own=copy)
    assert lies_in_another_checkout(original / "models/x", own=copy.parent / "none/.state")
    assert not lies_in_another_checkout(original.parent / "models", own=copy)
    original.parent.rename(original.parent.with_name("C"))
    assert not lies_in_another_checkout(original / "models/x", own=copy)
