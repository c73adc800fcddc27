"""What scripts rely on: `--json` where the CLI has it, and `--expect-no-changes`."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from engine.deployment.steps import Op, Step
from engine.display.digest import DigestDisplay
from engine.state.snapshot import Resource
from engine.values import Secret
from tests.engine.pulumi_project import PulumiProject

STACK = "urn:pulumi:dev::things::pulumi:pulumi:Stack::things-dev"
PROVIDER = "urn:pulumi:dev::things::pulumi:providers:pulumi-python::default::id"


def thing(name: str, **inputs: Any) -> Resource:
    urn = f"urn:pulumi:dev::things::t:m:T::{name}"
    outputs = {**inputs, "serial": f"{name}-1"}
    return Resource(urn, True, "t:m:T", id=f"{name}-1", inputs=inputs, outputs=outputs)


def digest_of(*steps: Step) -> dict[str, Any]:
    stream = io.StringIO()
    display = DigestDisplay(STACK, dry_run=True, stream=stream)
    display.header("Previewing update", "dev", {"things:word": "[secret]"})
    for step in steps:
        show = display.same if step.op is Op.SAME else display.planned
        show(step)
    display.output("hello")
    display.log("warning", "careful", steps[0].resource.urn)
    display.summary()
    return json.loads(stream.getvalue())


def test_the_digest_has_the_keys_of_the_official_one() -> None:
    old, new = thing("a", size=1, word=Secret("x")), thing("a", size=2, word=Secret("y"))
    new.provider = PROVIDER
    digest = digest_of(Step(Op.UPDATE, new, old))
    duration = digest.pop("duration")
    assert isinstance(duration, int) and duration > 0  # nanoseconds
    old_inputs, new_inputs = ({"size": size, "word": "[secret]"} for size in (1, 2))
    common = {"urn": new.urn, "custom": True, "type": "t:m:T"}
    assert digest == {
        "config": {"things:word": "[secret]"},
        "steps": [
            {
                "op": "update",
                "urn": new.urn,
                "provider": PROVIDER,
                "oldState": {
                    **common,
                    "id": "a-1",
                    "inputs": old_inputs,
                    "outputs": {**old_inputs, "serial": "a-1"},
                },
                "newState": {**common, "inputs": new_inputs, "provider": PROVIDER},
                "diffReasons": ["size", "word"],
                "detailedDiff": None,
            }
        ],
        "diagnostics": [
            {"message": "hello\n", "severity": "info"},
            {"urn": new.urn, "message": "warning: careful\n", "severity": "warning"},
        ],
        "changeSummary": {"update": 1},
    }


def test_a_replacement_is_one_step_with_reasons_and_unchanged_resources_are_only_counted() -> None:
    old, new = thing("a", kind="x"), thing("a", kind="y")
    replaced = [Step(op, new, old, ("kind",)) for op in (Op.CREATE_REPLACEMENT, Op.REPLACE)] + [
        Step(Op.DELETE_REPLACED, old)
    ]
    unchanged = thing("b")
    root = Resource(STACK, False, "pulumi:pulumi:Stack", outputs={"word": Secret("x")})
    digest = digest_of(*replaced, Step(Op.SAME, unchanged, unchanged), Step(Op.SAME, root, root))
    replace, same = digest["steps"]
    assert (replace["op"], replace["replaceReasons"]) == ("replace", ["kind"])
    assert (same["op"], same["oldState"]["outputs"]) == ("same", {"word": "[secret]"})
    assert digest["changeSummary"] == {"replace": 1, "same": 2}


def test_a_deletion_has_no_new_state_and_a_creation_no_old_one() -> None:
    delete, create = digest_of(Step(Op.DELETE, thing("a")), Step(Op.CREATE, thing("b")))["steps"]
    assert "newState" not in delete and delete["oldState"]["id"] == "a-1"
    assert "oldState" not in create and "id" not in create["newState"]


def test_a_preview_is_one_json_document_even_if_it_fails(project: PulumiProject) -> None:
    project.program('print("hello")\nThing("a", word=pulumi.Output.secret("hush"))')
    ran = project.run("preview", "--json")
    digest = json.loads(ran.out)
    assert ran.code == 0 and "hush" not in ran.text
    assert [step["op"] for step in digest["steps"]] == ["create", "create"]
    assert digest["changeSummary"] == {"create": 2}
    assert {"message": "hello\n", "severity": "info"} in digest["diagnostics"]
    assert project.run("preview", "--json", "--expect-no-changes").code == 7

    project.program('Thing("a", size=-1)')
    ran = project.run("preview", "--json")
    (said,) = json.loads(ran.out)["diagnostics"]
    assert ran.code == 1 and said["severity"] == "error" and said["urn"].endswith("::a")
    assert "must not be negative" in said["message"]


def test_stacks_and_history_are_listed_as_json(project: PulumiProject) -> None:
    file = project.folder / "Pulumi.dev.yaml"
    file.write_text(file.read_text() + "config:\n  things:size: 3\n")
    assert project.run("refresh", "--yes", "-m", "why").code == 0
    for flags in (["--json"], ["--output", "json"]):
        (stack,) = json.loads(project.run("stack", "ls", *flags).out)
        assert stack.pop("lastUpdate").endswith("Z")
        assert stack == {"name": "dev", "current": True, "resourceCount": 0}
        (entry,) = json.loads(project.run("stack", "history", *flags).out)
        assert list(entry) == [
            "version",
            "kind",
            "startTime",
            "message",
            "environment",
            "config",
            "result",
            "endTime",
            "resourceChanges",
        ]
        assert (entry["kind"], entry["message"], entry["result"]) == ("refresh", "why", "succeeded")
        assert entry["startTime"].endswith(".000Z") and entry["startTime"] <= entry["endTime"]
        assert entry["config"] == {"things:size": {"value": "3", "secret": False}}


def test_expect_no_changes_is_checked_after_an_update_or_a_refresh(project: PulumiProject) -> None:
    project.program('Thing("a", size=1)')
    ran = project.run("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert ran.code == 7 and "no changes were expected for update" in ran.err
    assert "a" in project.cloud
    assert project.run("up", "--yes", "--expect-no-changes").code == 0

    def drift(cloud: dict[str, Any]) -> None:
        for props in cloud.values():
            props["size"] = 9

    project.change_cloud(drift)
    refresh = ("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    assert project.run(*refresh).code == 7
    assert project.run(*refresh).code == 0


def test_destroy_does_not_take_a_flag_that_it_would_not_keep(
    project: PulumiProject, capsys: pytest.CaptureFixture[str]
) -> None:
    """Like the official CLI, which deletes nothing if no changes are expected."""
    project.program('Thing("a")')
    project.up()
    for verb in (["preview"], ["up", "--yes"], ["refresh", "--yes"]):
        assert project.run(*verb, "--expect-no-changes").code == 0
    project.calls()
    with pytest.raises(SystemExit) as exited:
        project.run("destroy", "--yes", "--expect-no-changes")
    assert exited.value.code == 2
    assert "--expect-no-changes" in capsys.readouterr().err
    assert set(project.cloud) == {"a"} and project.calls() == []
