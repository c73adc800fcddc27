"""A cluster stays where it is: a changed place is refused before anything is touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pulumi
import pytest

from infra.gke.placement import CLUSTER_TYPE, PlacementProvider, cluster_in, require_same
from render.placeholders import PROJECT_ID
from render.recorder import Run
from tests.official_cli import cli_environment, write_program
from tests.stacks import GKE_STACKS, needs, run_of

PLACEMENT = "pulumi-python:dynamic/diffusion:Placement"


def exported(*types: str, pending: tuple[str, ...] = ()) -> str:
    return json.dumps(
        {
            "version": 3,
            "deployment": {
                "resources": [{"urn": "u", "type": one} for one in types],
                "pending_operations": [
                    {"resource": {"urn": "u", "type": one}, "type": "creating"} for one in pending
                ],
            },
        }
    )


@pytest.mark.parametrize("stack", GKE_STACKS)
def test_everything_in_google_cloud_comes_after_the_refusal(stack: str) -> None:
    run: Run = run_of(stack, loadBalancerAddress="static")
    placement = run.one(PLACEMENT)
    found = [one for one in run.resources if one.type.startswith("gcp:")]
    assert len(found) > 10
    assert [one.urn for one in found if placement.urn not in needs(run, one)] == []
    location = run.one(CLUSTER_TYPE).inputs["location"]
    assert placement.inputs["recorded"] == f"{PROJECT_ID}/{location}"


@pytest.mark.parametrize("place", ["my-project/europe-west1-b", "another-project/us-central1-c"])
def test_another_project_or_location_is_refused_in_one_line_with_the_way(place: str) -> None:
    here = "my-project/us-central1-c"
    assert require_same(here, here, "dev") == here
    with pytest.raises(pulumi.RunError) as caught:
        require_same(here, place, "dev")
    assert str(caught.value) == (
        f"gcp:project or location cannot be changed, from {here} to {place}, while the stack is "
        "up: set it back, or run `make down STACK=dev` and then `make up STACK=dev`"
    )


STATES = {
    "nothing": ("{}", None),
    "no cluster": (exported("gcp:compute/network:Network"), False),
    "a cluster": (exported("gcp:compute/network:Network", CLUSTER_TYPE), True),
    "a cluster that may have been made": (exported(pending=(CLUSTER_TYPE,)), True),
    "an empty stack": (json.dumps({"version": 3, "deployment": {}}), False),
}


@pytest.mark.parametrize(("state", "expected"), STATES.values(), ids=STATES)
def test_the_state_tells_whether_there_is_a_cluster(state: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(KeyError):
            cluster_in(state)
    else:
        assert cluster_in(state) is expected


def diff(recorded: str, setting: str) -> bool | None:
    stack = "organization/diffusion-serving/dev"
    olds, news = {"recorded": recorded, "stack": stack}, {"recorded": setting, "stack": stack}
    return PlacementProvider().diff("placement", olds, news).changes


def stub_pulumi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    file = folder / "pulumi"
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_the_record_follows_the_setting_while_there_is_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_pulumi(tmp_path, monkeypatch, f"echo \"$@\" >{tmp_path}/called; echo '{exported('x')}'")
    assert diff("a", "b") is True
    assert (tmp_path / "called").read_text().split() == [
        *("stack", "export", "--stack", "organization/diffusion-serving/dev"),
        "--non-interactive",
    ]


@pytest.mark.parametrize(
    "script", [f"echo '{exported(CLUSTER_TYPE)}'", "exit 1", "echo nonsense", "echo '{}'"]
)
def test_the_record_stays_where_there_is_or_may_be_a_cluster(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_pulumi(tmp_path, monkeypatch, script)
    assert diff("a", "b") is False


def test_the_state_is_not_read_while_the_setting_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_pulumi(tmp_path, monkeypatch, f"touch {tmp_path}/called")
    assert diff("a", "a") is False
    assert not (tmp_path / "called").exists()


PROGRAM = f"""
import pulumi
from pulumi.dynamic import Resource
from infra.gke.placement import Placement
from regional import Provider

class Regional(Resource, module="test", name="Regional"):
    def __init__(self, name, location):
        super().__init__(Provider(), name, {{"location": location}})

config = pulumi.Config()
placement = Placement("place", "p", config.require("location"), "region")
Regional("network", placement.location)
if config.get_bool("cluster"):
    after = pulumi.ResourceOptions(depends_on=[placement])
    pulumi.ComponentResource("{CLUSTER_TYPE}", "cluster", {{}}, after)
pulumi.export("location", placement.location)
"""
REGIONAL_PROVIDER = """
from pulumi.dynamic import CreateResult, DiffResult, ResourceProvider

class Provider(ResourceProvider):
    serialize_as_secret_always = False
    def diff(self, _id, olds, news):
        changed = [key for key in ("location",) if olds[key] != news[key]]
        return DiffResult(changes=bool(changed), replaces=changed, delete_before_replace=True)
    def create(self, props):
        return CreateResult("regional", dict(props))
"""
Pulumi = Callable[..., tuple[int, str]]


@pytest.fixture
def cli(tmp_path: Path) -> Pulumi:
    """The official CLI, with a program of a record, something regional, and maybe a cluster."""
    project = tmp_path / "project"
    project.mkdir()
    write_program(project, "placed", PROGRAM)
    (project / "regional.py").write_text(REGIONAL_PROVIDER)
    environment = cli_environment(tmp_path)

    def run(location: str, *arguments: str) -> tuple[int, str]:
        cluster = "true" if location != "a" else "false"
        config = {"config": {"placed:location": location, "placed:cluster": cluster}}
        (project / "Pulumi.dev.yaml").write_text(json.dumps(config))
        ran = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color=never"],
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return ran.returncode, ran.stdout

    assert run("a", "stack", "init", "dev")[0] == 0
    return run


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pulumi") is None, reason="the official Pulumi CLI is not on PATH")
def test_with_the_official_cli_a_location_changes_only_without_a_cluster(cli: Pulumi) -> None:
    at_once = ("up", "--yes", "--skip-preview")
    assert cli("a", *at_once)[0] == 0
    # As after a first update that failed before the cluster; the second one makes it.
    code, shown = cli("b", "up", "--yes", "--refresh")
    assert code == 0 and "+-1 replaced" in shown and "Cluster cluster created" in shown

    refusal = "    error: gcp:project or location cannot be changed, from p/b to p/c, while the"
    for command in (("up", "--yes", "--refresh"), at_once):
        code, shown = cli("c", *command)
        assert code != 0 and refusal in shown
        assert "Traceback" not in shown and "replac" not in shown and "delet" not in shown

    code, shown = cli("b", *at_once)
    assert code == 0 and "4 unchanged" in shown
    assert cli("c", "destroy", "--yes", "--skip-preview")[0] == 0
