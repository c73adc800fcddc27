"""Refresh, alone and as part of `up --refresh`."""

from __future__ import annotations

import json
from typing import Any

from tests.engine.pulumi_project import PulumiProject

PAIR = 'a = Thing("a", size=1)\nThing("b", of=a.serial)'


def drift(cloud: dict[str, Any]) -> None:
    """Change `a`, and delete `b`."""
    for key, props in list(cloud.items()):
        if props["label"] == "a":
            props["size"] = 9
        else:
            del cloud[key]


def test_refresh_detects_changed_and_deleted_resources(project: PulumiProject) -> None:
    project.program(PAIR)
    project.up()
    project.change_cloud(drift)
    ran = project.run("refresh", "--yes")
    assert ran.code == 0
    assert "    ~ 1 updated" in ran.out and "    - 1 deleted" in ran.out
    state = project.resources()
    assert state["a"].outputs["size"] == 9 and state["a"].inputs["size"] == 1
    assert "b" not in state
    assert project.cloud.keys() == {"a"}

    project.up()
    assert project.cloud["a"]["size"] == 1 and "b" in project.cloud


def test_up_with_refresh_repairs_drift(project: PulumiProject) -> None:
    project.program(PAIR)
    project.up()
    project.change_cloud(drift)
    ran = project.up("--refresh")
    assert "    + 1 created" in ran.out and "    ~ 1 updated" in ran.out
    assert project.cloud["a"]["size"] == 1 and "b" in project.cloud
    assert "    3 unchanged" in project.up("--refresh").out


def test_a_project_can_always_refresh(project: PulumiProject) -> None:
    project.program('Thing("a")')
    project.up()
    project.change_cloud(dict.clear)
    assert project.run("preview", "--expect-no-changes").code == 0
    file = project.folder / "Pulumi.yaml"
    file.write_text(file.read_text() + "options: {refresh: always}\n")
    assert project.run("preview", "--expect-no-changes").code == 7
    project.up()
    assert set(project.cloud) == {"a"}


def test_refresh_drops_references_to_deleted_resources(project: PulumiProject) -> None:
    project.program(PAIR)
    project.up()
    lost = project.resources()["a"]
    project.change_cloud(lambda cloud: cloud.pop(lost.id))
    assert project.run("refresh", "--yes").code == 0
    assert lost.urn not in str(project.deployment())


def test_a_failed_read_stops_the_refresh_and_changes_nothing(project: PulumiProject) -> None:
    project.program('Thing("a", fails="read")')
    project.up()
    before = project.checkpoint.read_text()
    ran = project.run("refresh", "--yes")
    assert ran.code == 1 and "read is out of order" in ran.out
    assert project.checkpoint.read_text() == before


def test_refresh_keeps_pending_creates_unless_told_to_clear_them(
    project: PulumiProject,
) -> None:
    project.program('Thing("a")')
    project.up()
    deployment = project.deployment()
    entry = {**deployment["resources"][-1], "id": ""}
    entry["urn"] += "-lost"
    document = json.loads(project.checkpoint.read_text())
    pending = [{"resource": entry, "type": "creating"}]
    document["checkpoint"]["latest"]["pending_operations"] = pending
    project.checkpoint.write_text(json.dumps(document))
    ran = project.run("refresh", "--yes")
    assert "interrupted while creating a-lost" in ran.out
    assert len(project.deployment()["pending_operations"]) == 1
    project.run("refresh", "--yes", "--clear-pending-creates")
    assert "pending_operations" not in project.deployment()


def test_destroy_with_refresh_skips_deleted_resources(project: PulumiProject) -> None:
    project.program('Thing("a", fails="delete")\nThing("b")')
    project.up()
    lost = project.resources()["a"].id
    project.change_cloud(lambda cloud: cloud.pop(lost))
    project.calls()
    ran = project.run("destroy", "--yes", "--refresh")
    assert ran.code == 0, ran.text
    assert [call for call in project.calls() if call.startswith("delete")] == ["delete b"]
    assert project.resources() == {}
