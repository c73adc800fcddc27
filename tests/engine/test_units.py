"""Pure functions: property paths, secrets, URNs, durations, equality."""

from __future__ import annotations

import ast
import sys
from typing import Any

import pytest

from engine import urn
from engine.deployment import paths
from engine.deployment.goal import duration_seconds
from engine.project.passphrase import Crypter, WrongPassphraseError
from engine.state.snapshot import Resource, with_aliases_resolved
from engine.values import PropertyMap, PropertyValue, Secret, equal, with_secrets_of
from tests.engine.pulumi_project import REPOSITORY

PACKAGES = {"cryptography", "google", "pulumi", "rich", "yaml"}  # google: protobuf


def test_the_engine_imports_nothing_of_this_project() -> None:
    """So that other projects can use it. child.py imports only Pulumi's SDK."""
    files = list((REPOSITORY / "engine").rglob("*.py"))
    assert {"child.py", "cli.py"} <= {file.name for file in files}
    for file in files:
        imported: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.module and node.level == 0
                imported.add(node.module.partition(".")[0])
        foreign = imported - sys.stdlib_module_names - {"engine"}
        assert foreign <= ({"pulumi"} if file.name == "child.py" else PACKAGES), file
        assert file.name != "child.py" or "engine" not in imported


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a.b", ["a", "b"]),
        ('a["b c"][0]', ["a", "b c", 0]),
        ('["x\\"y"].z', ['x"y', "z"]),
        ("a[*].b", ["a", "*", "b"]),
        (".a", None),
        ("a.", None),
        ("a[x]", None),
        ('a["b', None),
    ],
)
def test_property_paths_are_parsed(text: str, path: paths.PropertyPath | None) -> None:
    assert paths.parse(text) == path


@pytest.mark.parametrize(
    ("ignored", "old", "new", "expected"),
    [
        ("a", {"a": 1}, {"a": 2}, {"a": 1}),
        ("a", {}, {"a": 2}, {}),
        ("a", {"a": 1}, {}, {"a": 1}),
        ("a.b", {"a": {"b": 1}}, {"a": {"b": 2, "c": 3}}, {"a": {"b": 1, "c": 3}}),
        ("a.b", {"a": {"b": 1}}, {}, {}),
        ("a.b", {}, {"a": {"b": 2, "c": 3}}, {"a": {"c": 3}}),
        ("a.b.c", {}, {"a": {"b": {"c": 2}}}, {"a": {"b": {"c": 2}}}),
        ("a.b", {}, {"a": 2}, {"a": 2}),
        ("a[0].b", {}, {"a": [{"b": 2}]}, {"a": [{"b": 2}]}),
        ("a[1]", {"a": [1, 2]}, {"a": [3, 4]}, {"a": [3, 2]}),
        ("a[1]", {"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ("a[*].b", {"a": [{"b": 1}]}, {"a": [{"b": 2}, {"b": 3}]}, {"a": [{"b": 1}, {"b": 3}]}),
        ("a[*]", {"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"x": 1}}),
        ("*", {"a": 1}, {"a": 2, "b": 3}, {"a": 1}),
        ("a.b", {"a": Secret({"b": 1})}, {"a": {"b": 2}}, {"a": {"b": Secret(1)}}),
        ("a[-1]", {"a": [1]}, {"a": [2]}, {"a": [2]}),
    ],
)
def test_ignored_paths_keep_their_old_values(
    ignored: str, old: PropertyMap, new: PropertyMap, expected: PropertyMap
) -> None:
    before = repr(new)
    assert paths.restore(new, old, [ignored]) == expected
    assert repr(new) == before


@pytest.mark.parametrize(
    ("path", "other", "covered"),
    [("a", "a.b", True), ("a.b", "a", False), ("*", "x", True), ("a[*].c", "a[3].c", True)],
)
def test_a_path_covers_the_paths_below_it(path: str, other: str, covered: bool) -> None:
    parsed, below = paths.parse(path), paths.parse(other)
    assert parsed and below and paths.covers(parsed, below) is covered


def test_outputs_of_secret_inputs_are_secret() -> None:
    outputs: PropertyMap = {"a": 1, "b": {"c": 2, "d": 3}, "e": [4]}
    inputs: PropertyMap = {"a": Secret(0), "b": {"c": Secret(0), "d": 0}, "e": [Secret(0)]}
    assert with_secrets_of(outputs, inputs) == {
        "a": Secret(1),
        "b": {"c": Secret(2), "d": 3},
        "e": Secret([4]),
    }


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (False, 0.0, False),
        (None, False, False),
        ({"x": [{"y": True}]}, {"x": [{"y": 1}]}, False),
        ({"x": [{"y": 2}]}, {"x": [{"y": 2.0}]}, True),
        ({"x": None}, {}, False),
        ([1], [1, 1], False),
        ([], {}, False),
        (Secret(1), Secret(1.0), True),
        (Secret([True]), Secret([1]), False),
        (Secret(1), 1, False),
    ],
)
def test_equality_is_pulumis_not_pythons(
    one: PropertyValue, other: PropertyValue, expected: bool
) -> None:
    assert equal(one, other) is equal(other, one) is expected


def test_secrets_round_trip_and_keep_their_ciphertext() -> None:
    crypter = Crypter("phrase")
    ciphertext = crypter.encrypt("text", "location")
    again = Crypter("phrase", crypter.state)
    assert again.decrypt(ciphertext, "location") == "text"
    assert again.encrypt("text", "location") == ciphertext
    assert again.encrypt("text", "another location") != ciphertext
    with pytest.raises(WrongPassphraseError):
        Crypter("other", crypter.state).decrypt(ciphertext)


def test_urns_contain_the_types_of_their_parents() -> None:
    stack = urn.root_stack("dev", "p")
    child = urn.make("dev", "p", stack, "m:i:C", "c")
    assert child == "urn:pulumi:dev::p::m:i:C::c"
    grandchild = urn.make("dev", "p", child, "m:i:D", "d::e")
    assert grandchild == "urn:pulumi:dev::p::m:i:C$m:i:D::d::e"
    assert (urn.type_of(grandchild), urn.name_of(grandchild)) == ("m:i:D", "d::e")


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300), ("1h0m0.5s", 3600.5), ("250ms", 0.25)])
def test_go_durations(text: str, seconds: float) -> None:
    assert duration_seconds(text) == seconds


def test_properties_without_dependencies_are_listed_until_a_dependency_is_renamed() -> None:
    """As the official engine does; both mean the same."""

    def resource(urn: str, **known: Any) -> Resource:
        return Resource(urn=urn, custom=True, type="things:index:Thing", **known)

    renamed = [resource("urn:new", alias="urn:old"), resource("urn:other")]
    changed = resource("urn:a", property_dependencies={"of": ["urn:old"], "size": []})
    same = resource("urn:b", property_dependencies={"of": ["urn:other"], "size": []})
    *_, changed, same = with_aliases_resolved([*renamed, changed, same])
    assert changed.property_dependencies == {"of": ["urn:new"]}
    assert same.property_dependencies == {"of": ["urn:other"], "size": []}
