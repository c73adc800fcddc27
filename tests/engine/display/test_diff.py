"""How property changes are shown: in rows, with `--diff`, and as details on request."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest

from engine.deployment.steps import Op, Step
from engine.display.diff import DiffDisplay
from engine.display.property_diff import PropertyWriter, diff_info
from engine.state.snapshot import Resource
from engine.values import UNKNOWN, PropertyMap, Secret
from tests.engine.pulumi_project import PulumiProject

STACK = "urn:pulumi:dev::things::pulumi:pulumi:Stack::things-dev"


def changes(old: PropertyMap, new: PropertyMap, *, only: bool = False) -> list[str]:
    return list(PropertyWriter(cut=None).changes(old, new, level=1, only=only))


def test_differences_are_named_by_key() -> None:
    old: PropertyMap = {"a": 1, "b": 2, "c": Secret(3), "__provider": "x"}
    new: PropertyMap = {"a": 1, "b": 3, "c": 3, "d": 4, "__provider": "y"}
    assert diff_info(old, new) == "[diff: +d~b]"
    assert diff_info(new, old) == "[diff: -d~b]"
    assert diff_info(old, old) == ""


def test_a_change_shows_both_values_and_the_unchanged_properties() -> None:
    old: PropertyMap = {"steps": 20, "name": "a", "gone": None, "__provider": "x"}
    new: PropertyMap = {"steps": 30, "name": "a", "added": True, "__provider": "y"}
    assert changes(old, new) == [
        "  + added: true",
        "  - gone : <null>",
        '    name : "a"',
        "  ~ steps: 20 => 30",
    ]
    assert changes(old, new, only=True) == [
        "  + added: true",
        "  - gone : <null>",
        "  ~ steps: 20 => 30",
    ]


def test_changes_in_objects_and_lists_are_nested() -> None:
    old: PropertyMap = {"a": {"b": [1, 2, 3], "c": {}}, "kept": {"x": [1]}}
    new: PropertyMap = {"a": {"b": [1, 5], "c": {}, "d": [{"e": 1}]}, "kept": {"x": [1]}}
    assert changes(old, new) == [
        "  ~ a   : {",
        "      ~ b: [",
        "            [0]: 1",
        "          ~ [1]: 2 => 5",
        "          - [2]: 3",
        "        ]",
        "        c: {}",
        "      + d: [",
        "      +     [0]: {",
        "              + e: 1",
        "            }",
        "        ]",
        "    }",
        "    kept: {",
        "        x: [",
        "            [0]: 1",
        "        ]",
        "    }",
    ]


def test_a_value_that_changes_its_type_is_shown_on_one_line() -> None:
    assert changes({"a": {"b": [1]}}, {"a": "text"}) == ['  ~ a: {b: [1]} => "text"']


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (Secret("one"), Secret("two"), "  ~ a: [secret] => [secret]"),
        (Secret({"b": "one"}), {"b": "two"}, '  ~ a: [secret] => {b: "two"}'),
        (Secret("same"), Secret("same"), "    a: [secret]"),
        ("a-1", UNKNOWN, '  ~ a: "a-1" => [unknown]'),
    ],
)
def test_secrets_and_unknowns_are_marked(old: object, new: object, line: str) -> None:
    before: PropertyMap = {"a": old}  # type: ignore[dict-item]
    after: PropertyMap = {"a": new}  # type: ignore[dict-item]
    assert changes(before, after) == [line]


def test_a_long_text_is_truncated() -> None:
    (line,) = PropertyWriter(cut=20).properties({"a": "x" * 21, "__provider": "p"}, level=1)
    assert line == f'    a: "{"x" * 17}..."'
    (line,) = PropertyWriter(cut=20).properties({"a": "x" * 20}, level=1)
    assert line == f'    a: "{"x" * 20}"'


def test_truncated_texts_still_show_their_difference() -> None:
    common = "".join(chr(ord("a") + i % 26) for i in range(500))
    (line,) = PropertyWriter().changes({"a": common + "1"}, {"a": common + "2"}, level=1)
    assert line == f'  ~ a: "...{common[-20:]}1" => "...{common[-20:]}2"'


# -- blocks ------------------------------------------------------------------------------------


def resource(name: str, parent: str = STACK, **inputs: object) -> Resource:
    entry = Resource(f"urn:pulumi:dev::things::t:m:T::{name}", True, "t:m:T", parent=parent)
    entry.inputs = dict(inputs)  # type: ignore[arg-type]
    return entry


def blocks(*steps: Step) -> list[str]:
    stream = io.StringIO()
    display = DiffDisplay(STACK, dry_run=True, stream=stream)
    for step in steps:
        display.planned(step)
    return stream.getvalue().splitlines()


def test_children_are_indented_below_their_parents() -> None:
    parent = resource("p", given=1)
    child = resource("c", parent.urn, given=2)
    assert blocks(Step(Op.CREATE, parent), Step(Op.UPDATE, child, resource("c", given=1))) == [
        "    + t:m:T: (create)",
        "        [urn=urn:pulumi:dev::things::t:m:T::p]",
        "        given: 1",
        "        ~ t:m:T: (update)",
        "            [urn=urn:pulumi:dev::things::t:m:T::c]",
        "          ~ given: 1 => 2",
    ]


def test_a_replacement_is_one_block() -> None:
    old, new = resource("a", kind="x"), resource("a", kind="y")
    old.id = "a-1"
    ops = (Op.CREATE_REPLACEMENT, Op.REPLACE, Op.DELETE_REPLACED)
    assert blocks(*(Step(op, new, old) for op in ops)) == [
        "    +-t:m:T: (replace)",
        "        [id=a-1]",
        "        [urn=urn:pulumi:dev::things::t:m:T::a]",
        '      ~ kind: "x" => "y"',
    ]


def test_drift_in_outputs_is_shown_if_the_inputs_are_equal() -> None:
    old, new = resource("a", size=1), resource("a", size=1)
    old.outputs = {"size": 9, "serial": "a-1"}
    assert "      ~ size: 9 => 1" in blocks(Step(Op.UPDATE, new, old))
    found = resource("a", size=1)
    found.outputs = {"size": 9, "serial": "a-2"}
    lines = blocks(Step(Op.UPDATE, found, old, is_refresh=True))
    assert '      ~ serial: "a-1" => "a-2"' in lines


# -- whole commands ----------------------------------------------------------------------------


def test_previews_and_updates_show_which_properties_change_and_how(project: PulumiProject) -> None:
    project.program(
        'a = Thing("a", size=20, word=pulumi.Output.secret("hush"))\nThing("b", of=a.serial)'
    )
    project.up()
    project.program(
        'n = Thing("n")\n'
        'a = Thing("a", size=30, word=pulumi.Output.secret("quiet"))\nThing("b", of=n.serial)'
    )
    rows = project.run("preview").out
    assert " ~  pulumi-python:dynamic/things:Thing a update [diff: ~size,word]" in rows
    assert "=>" not in rows
    preview = project.run("preview", "--diff").out.splitlines()
    assert "      ~ size : 20 => 30" in preview
    assert "      ~ word : [secret] => [secret]" in preview
    assert any(line.startswith("      ~ of   : ") and "=> [unknown]" in line for line in preview)
    assert preview.index("Resources:") > preview.index("      ~ size : 20 => 30")

    update = project.up("--diff", "--skip-preview").out
    assert "      ~ size : 20 => 30" in update and "    ~ 2 updated" in update
    serial = project.resources()["n"].id
    assert f'        --outputs:--\n        serial: "{serial}"\n' in update
    assert "hush" not in update and "quiet" not in update


def test_details_can_be_shown_before_confirming(
    project: PulumiProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.program('Thing("a", size=7)\npulumi.export("new", 1)')
    answers: Iterator[str] = iter(["details", "no"])
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return next(answers)

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", answer)
    ran = project.run("up")
    assert ran.code == 8 and "declined" in ran.err and project.cloud == {}
    assert asked == ["Do you want to perform this update? [yes/no/details] "] * 2
    assert "        size : 7" in ran.out and "    --outputs:--\n    new: 1" in ran.out


def test_end_of_input_at_the_prompt_declines(
    project: PulumiProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(prompt: str) -> str:
        raise EOFError  # Ctrl-D

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", answer)
    project.program('Thing("a")')
    ran = project.run("up")
    assert ran.code == 8 and "nothing was changed" in ran.err and project.cloud == {}
