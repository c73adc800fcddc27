"""Resource options: protect, ignore changes, retain, deleted with, aliases, timeouts."""

from __future__ import annotations

import pytest

from tests.engine.pulumi_project import PulumiProject

pytestmark = pytest.mark.slow


def test_a_protected_resource_is_neither_deleted_nor_replaced(project: PulumiProject) -> None:
    project.program('a = Thing("a", kind="x", opts=Options(protect=True))\nThing("b")')
    project.up()
    state = project.resources()
    project.program('Thing("a", kind="y", opts=Options(protect=True))\nThing("b")')
    ran = project.run("up", "--yes")
    assert ran.code == 1 and "it is protected" in ran.text
    ran = project.run("destroy", "--yes")
    assert ran.code == 1 and "cannot be deleted because it is protected" in ran.text
    assert set(project.cloud) == {"a", "b"} and project.resources()["a"].id == state["a"].id


def test_destroy_without_a_preview_deletes_all_but_protected_resources(
    project: PulumiProject,
) -> None:
    project.program('Thing("a", opts=Options(protect=True))\nThing("b")')
    project.up()
    ran = project.run("destroy", "--yes", "--skip-preview")
    assert ran.code == 1 and set(project.cloud) == {"a"}
    assert set(project.resources()) == {"things-dev", "default", "a"}


def test_a_resource_can_be_unprotected_and_replaced_in_one_update(project: PulumiProject) -> None:
    project.program('Thing("a", kind="x", opts=Options(protect=True))')
    project.up()
    project.program('Thing("a", kind="y")')
    project.up()
    assert project.cloud["a"]["kind"] == "y" and len(project.cloud_ids) == 1


def changing(project: PulumiProject) -> list[str]:
    """The create, update and delete calls since the last time."""
    return [c for c in project.calls() if c.split()[0] in ("create", "update", "delete")]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (True, ["delete b", "delete a", "create a", "create b", "update c"]),
        (False, ["create a", "create b", "update c", "delete b", "delete a"]),
    ],
)
def test_delete_before_replace_sets_the_order_of_a_replacement(
    project: PulumiProject, option: bool, expected: list[str]
) -> None:
    """It overrides the provider, also for dependents that must be replaced too."""
    first = "create" if option else "delete"
    body = f"""
a = Thing("a", kind="{{kind}}", first="{first}", opts=Options(delete_before_replace={option}))
b = Thing("b", kind=a.serial)
Thing("c", of=b.serial)
"""
    project.program(body.format(kind="x"))
    project.up()
    project.program(body.format(kind="y"))
    project.calls()
    project.up()
    assert changing(project) == expected
    assert len(project.cloud_ids) == 3
    assert project.cloud["c"]["of"] == project.resources()["b"].id


def test_a_protected_dependent_stops_a_replacement_before_anything_is_deleted(
    project: PulumiProject,
) -> None:
    body = """
a = Thing("a", kind="{kind}", first="delete")
b = Thing("b", kind=a.serial, opts=Options(protect=True))
c = Thing("c", kind=b.serial)
"""
    project.program(body.format(kind="x"))
    project.up()
    project.program(body.format(kind="y"))
    project.calls()
    ran = project.run("up", "--yes", "--skip-preview")
    assert ran.code == 1 and "unable to replace resource b as part of replacing a" in ran.out
    assert changing(project) == []


def test_ignore_changes_applies_to_component_inputs(project: PulumiProject) -> None:
    body = (
        'pulumi.ComponentResource("t:i:C", "c", {{"size": {}}}, Options(ignore_changes=["size"]))'
    )
    project.program(body.format(1))
    project.up()
    project.program(body.format(2))
    assert "    2 unchanged" in project.up().out


def test_ignored_changes_keep_the_old_value(project: PulumiProject) -> None:
    body = 'Thing("a", size={}, tags={{"x": "{}", "y": "{}"}}, opts=Options('
    body += 'ignore_changes=["size", "tags.x"]))'
    project.program(body.format(1, "one", "one"))
    project.up()
    project.program(body.format(2, "two", "two"))
    project.up()
    assert project.cloud["a"]["size"] == 1
    assert project.cloud["a"]["tags"] == {"x": "one", "y": "two"}


def test_retained_resources_outlive_their_deletion(project: PulumiProject) -> None:
    project.program('Thing("a", opts=Options(retain_on_delete=True))')
    project.up()
    assert project.run("destroy", "--yes").code == 0
    assert set(project.cloud) == {"a"} and project.resources() == {}


def test_a_deleted_with_resource_needs_no_delete_call(project: PulumiProject) -> None:
    project.program('a = Thing("a")\nThing("b", opts=Options(deleted_with=a))')
    project.up()
    project.calls()
    assert project.run("destroy", "--yes").code == 0
    assert [call for call in project.calls() if call.startswith("delete")] == ["delete a"]


def test_a_retained_resource_outlives_its_replacement(project: PulumiProject) -> None:
    body = 'Thing("a", kind="{}", opts=Options(retain_on_delete=True))'
    project.program(body.format("x"))
    project.up()
    project.program(body.format("y"))
    project.calls()
    project.up()
    assert changing(project) == ["create a"] and len(project.cloud_ids) == 2


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("create", ["create a", "create b", "delete a"]),
        ("delete", ["delete a", "create a", "create b"]),
    ],
)
def test_a_deleted_with_resource_is_replaced_with_the_other(
    project: PulumiProject, first: str, expected: list[str]
) -> None:
    body = f"""
a = Thing("a", kind="{{kind}}", first="{first}")
Thing("b", opts=Options(deleted_with=a))
"""
    project.program(body.format(kind="x"))
    project.up()
    project.program(body.format(kind="y"))
    project.calls()
    project.up()
    assert changing(project) == expected


def test_an_aliased_resource_is_renamed_and_not_replaced(project: PulumiProject) -> None:
    project.program('a = Thing("a", label="a")\nThing("child", of=a.serial)')
    project.up()
    old = project.resources()["a"]
    project.program(
        'a = Thing("renamed", label="a", opts=Options(aliases=[pulumi.Alias(name="a")]))\n'
        'Thing("child", of=a.serial)'
    )
    ran = project.up()
    state = project.resources()
    assert "    3 unchanged" in ran.out and "a" not in state
    assert state["renamed"].id == old.id
    assert state["child"].property_dependencies["of"] == [state["renamed"].urn]


def test_children_follow_an_aliased_parent(project: PulumiProject) -> None:
    body = """
class Pair(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("things:index:Pair", name, {}, opts)
        Thing(f"{name}-one", label="one", opts=Options(parent=self))
"""
    project.program(body + 'Pair("old")')
    project.up()
    old = project.resources()["old-one"].id
    project.program(body + 'Pair("new", Options(aliases=[pulumi.Alias(name="old")]))')
    assert "    3 unchanged" in project.up().out
    assert project.resources()["new-one"].id == old


def test_children_inherit_their_parents_options(project: PulumiProject) -> None:
    project.program(
        'parent = pulumi.ComponentResource("things:index:Group", "g", {}, Options(protect=True))\n'
        'Thing("a", opts=Options(parent=parent))'
    )
    project.up()
    assert project.resources()["a"].protect


def test_custom_timeouts_are_saved_in_seconds(project: PulumiProject) -> None:
    project.program(
        'Thing("a", opts=Options(custom_timeouts=pulumi.CustomTimeouts(create="1h30m5s")))'
    )
    project.up()
    assert project.resources()["a"].custom_timeouts == {"create": 5405}


def test_a_duplicate_name_is_refused(project: PulumiProject) -> None:
    project.program('Thing("a")\nThing("a")')
    ran = project.run("up", "--yes")
    assert ran.code == 1 and "Duplicate resource URN" in ran.out
    assert project.cloud == {}
