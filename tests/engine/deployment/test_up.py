"""Create, change, replace and delete resources with `up` and `destroy`."""

from __future__ import annotations

from engine.values import UNKNOWN, Secret
from tests.engine.pulumi_project import PulumiProject

TWO_THINGS = """
a = Thing("a", size=3)
b = Thing("b", of=a.serial)
pulumi.export("serial", a.serial)
"""


def test_up_creates_in_order_and_a_second_up_changes_nothing(project: PulumiProject) -> None:
    project.program(TWO_THINGS)
    first = project.up()
    assert set(project.cloud) == {"a", "b"}
    assert "    + 3 created" in first.out
    state = project.resources()
    assert state["b"].inputs["of"] == state["a"].id == state["a"].outputs["serial"]
    assert state["things-dev"].outputs == {"serial": state["a"].id}
    assert state["b"].property_dependencies["of"] == [state["a"].urn]
    project.calls()

    again = project.up()
    assert "    3 unchanged" in again.out
    assert not [call for call in project.calls() if call.split()[0] in ("create", "update")]
    assert project.resources()["a"].id == state["a"].id


def test_every_update_runs_the_program_dry_for_the_preview_and_then_for_itself(
    project: PulumiProject,
) -> None:
    project.program(
        'Thing("a")\nwith open("runs.txt", "a") as runs:\n'
        '    print("dry" if pulumi.runtime.is_dry_run() else "real", file=runs)'
    )
    runs = project.folder / "runs.txt"
    for arguments in ((), ("--refresh",), ("--refresh", "--skip-preview")):
        project.up(*arguments)
        assert runs.read_text().split() == ["dry", "real"]
        runs.unlink()


def test_a_null_that_is_unknown_in_a_dry_run_is_saved_as_null(project: PulumiProject) -> None:
    project.change_provider('"url": f"{self.prefix}{serial}"', '"url": None')
    project.program("""
a = Thing("a")
group = pulumi.ComponentResource("t:i:Group", "group")
group.register_outputs({"seen": [a.url], "url": a.url})
pulumi.export("fixed", a.serial)
""")
    for _ in range(2):
        project.up()
        outputs = project.resources()["group"].outputs
        assert outputs == {"seen": [None]} or outputs == {"seen": [None], "url": None}
        assert UNKNOWN not in project.checkpoint.read_text()


def test_an_up_without_changes_writes_the_same_state(project: PulumiProject) -> None:
    project.program(TWO_THINGS + 'Thing("c", hidden=pulumi.Output.secret("x"))')
    project.up()
    before = {entry["urn"]: entry for entry in project.deployment()["resources"]}
    project.up()
    after = {entry["urn"]: entry for entry in project.deployment()["resources"]}
    assert after == before


def test_a_changed_input_updates_in_place(project: PulumiProject) -> None:
    project.program('Thing("a", size=config.require_int("size"))')
    project.config(size=3)
    project.up()
    before = project.resources()["a"]
    project.config(size=4)
    ran = project.up()
    after = project.resources()["a"]
    assert "Thing a updated" in ran.out and "[diff: ~size]" in ran.out
    assert "    ~ 1 updated" in ran.out
    assert (after.id, after.outputs["size"], after.created) == (before.id, 4, before.created)
    assert project.cloud["a"]["size"] == 4


def test_a_replacement_creates_first_and_deletes_last(project: PulumiProject) -> None:
    project.program('a = Thing("a", kind="x")\nThing("b", of=a.serial)')
    project.up()
    old = project.resources()["a"].id
    project.program('a = Thing("a", kind="y")\nThing("b", of=a.serial)')
    project.calls()
    ran = project.up()
    changing = [c for c in project.calls() if c.split()[0] in ("create", "update", "delete")]
    assert changing == ["create a", "update b", "delete a"]
    assert "    +-1 replaced" in ran.out
    assert old not in project.cloud_ids
    assert project.cloud["b"]["of"] == project.resources()["a"].id


def test_delete_before_replace_also_replaces_dependents(project: PulumiProject) -> None:
    body = 'a = Thing("a", kind="{kind}", first="delete")\nThing("b", kind=a.serial)'
    project.program(body.format(kind="x"))
    project.up()
    project.program(body.format(kind="y"))
    project.calls()
    project.up()
    changing = [c for c in project.calls() if c.split()[0] in ("create", "update", "delete")]
    assert changing == ["delete b", "delete a", "create a", "create b"]
    assert set(project.cloud) == {"a", "b"} and len(project.cloud_ids) == 2


def test_unregistered_resources_are_deleted_dependents_first(project: PulumiProject) -> None:
    project.program(TWO_THINGS)
    project.up()
    project.program("")
    project.calls()
    ran = project.up()
    assert [c for c in project.calls() if c.startswith("delete")] == ["delete b", "delete a"]
    assert "    - 2 deleted" in ran.out
    assert project.cloud == {} and set(project.resources()) == {"things-dev"}


def test_destroy_deletes_everything_and_keeps_the_stack(project: PulumiProject) -> None:
    project.program(TWO_THINGS)
    project.up()
    ran = project.run("destroy", "--yes")
    assert ran.code == 0 and "    - 3 deleted" in ran.out
    assert project.cloud == {} and project.deployment().get("resources") is None
    assert project.run("destroy", "--yes").code == 0


def test_components_keep_their_children_and_their_outputs(project: PulumiProject) -> None:
    project.program(
        """
class Pair(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("things:index:Pair", name)
        one = Thing(f"{name}-one", opts=Options(parent=self))
        self.register_outputs({"one": one.serial})
Pair("p")
"""
    )
    project.up()
    state = project.resources()
    assert state["p-one"].parent == state["p"].urn
    assert state["p-one"].urn.split("::")[2].startswith("things:index:Pair$")
    assert state["p"].outputs == {"one": state["p-one"].id}


def test_secrets_are_encrypted_in_the_state_and_hidden_in_the_output(
    project: PulumiProject,
) -> None:
    project.program(
        'a = Thing("a", word=pulumi.Output.secret("hush-hush"), opts=Options('
        'additional_secret_outputs=["url"]))\n'
        'pulumi.export("word", pulumi.Output.secret("hush-hush"))\n'
        'pulumi.export("nested", {"list": [pulumi.Output.secret("hush-hush"), 1]})'
    )
    ran = project.up()
    assert "hush-hush" not in ran.text and "[secret]" in ran.out
    assert "hush-hush" not in project.checkpoint.read_text()
    a = project.resources()["a"]
    assert a.inputs["word"] == a.outputs["word"] == Secret("hush-hush")
    assert isinstance(a.outputs["url"], Secret)
    assert project.cloud["a"]["word"] == "hush-hush"
    assert "hush-hush" not in project.run("stack", "output", "--json").out
    shown = project.run("stack", "output", "word", "--show-secrets").out
    assert shown == "hush-hush\n"


def test_a_preview_makes_no_changing_calls(project: PulumiProject) -> None:
    project.program(TWO_THINGS)
    before = project.checkpoint.read_text()
    ran = project.run("preview")
    assert ran.code == 0 and "    + 3 to create" in ran.out
    assert "serial: [unknown]" in ran.out
    assert {call.split()[0] for call in project.calls()} == {"check"}
    assert project.checkpoint.read_text() == before and not project.locks.exists()


def test_the_engine_compares_inputs_for_a_provider_without_diff(project: PulumiProject) -> None:
    body = 'PlainThing("a", size={}, opts=Options(replace_on_changes=["size"]))'
    project.program(body.format(1))
    project.up()
    old = project.resources()["a"].id
    assert "    2 unchanged" in project.up().out
    project.program(body.format(2))
    ran = project.up()
    assert "    +-1 replaced" in ran.out and old not in project.cloud_ids


def test_the_preview_uses_inputs_changed_by_check(
    project: PulumiProject,
) -> None:
    project.change_provider("CheckResult(news,", 'CheckResult({**news, "more": 1},')
    project.program('a = Thing("a")\npulumi.export("more", a.url.apply(lambda u: len(u)))')
    project.up()
    assert project.resources()["a"].inputs["more"] == 1
    assert "    2 unchanged" in project.up().out


def test_true_and_one_are_different_values(project: PulumiProject) -> None:
    body = 'PlainThing("a", given={0})\npulumi.ComponentResource("t:i:C", "c", {{"given": {0}}})'
    project.program(body.format(True))
    project.up()
    project.program(body.format(1))
    assert "    ~ 2 updated" in project.up().out
    assert project.cloud["a"]["given"] is not True
    project.program(body.format(1.0))
    assert "    3 unchanged" in project.up().out


def test_without_a_preview_program_output_is_shown_once(project: PulumiProject) -> None:
    # The provider changes inputs, so that a second dry run is needed.
    project.change_provider("CheckResult(news,", 'CheckResult({**news, "more": 1},')
    project.program('print("hello")\nThing("a")')
    created = project.up("--skip-preview").out
    unchanged = project.up("--skip-preview").out
    assert "    + 2 created" in created and "    2 unchanged" in unchanged
    for out in (created, unchanged):
        assert "Preview" not in out and out.count("hello") == 1


def test_the_provider_gets_the_config_and_a_changed_config_is_not_a_change_of_resources(
    project: PulumiProject,
) -> None:
    project.program('Thing("a")')
    project.config(prefix="one-")
    project.up()
    assert str(project.resources()["a"].outputs["url"]).startswith("one-")
    project.config(prefix="two-")
    assert "    2 unchanged" in project.up().out
    assert project.resources()["default"].inputs["things:prefix"] == "two-"


def test_expect_no_changes_fails_on_changes(project: PulumiProject) -> None:
    project.program('Thing("a")')
    assert project.run("preview", "--expect-no-changes").code == 7
    project.up()
    assert project.run("preview", "--expect-no-changes").code == 0
