"""`doctor` after an update that was killed: what it may have left, and the command to forget it."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from client.doctor import orphans
from client.stacks.state import read_state
from tests.client import stub_tools
from tests.client.commands import CommandLine
from tests.client.doctor.findings import findings
from tests.client.fake_serving import FakeServing
from tests.client.stub_tools import StubTools

FORGET = "`pulumi refresh --clear-pending-creates --yes --non-interactive --stack dev`"


def stack_findings(
    run: CommandLine,
    tools: StubTools,
    server: FakeServing,
    operation: str,
    resource: object,
    last: str = "Service",
) -> list[tuple[str, str]]:
    """What is said of the stack after that operation was cut off."""
    state = stub_tools.made_up_to(last, server.endpoint)
    exported = stub_tools.export(state, [(operation, resource)])
    tools.answer("pulumi", "stack export --stack dev", exported)
    return findings(run("doctor", "--stack", "dev"), "stack")[1:]


def test_a_cluster_whose_creation_was_killed_is_named_with_the_command_that_finds_it(
    run: CommandLine, tools: StubTools, server: FakeServing
) -> None:
    name = {"name": "diffusion-7654321", "location": "us-central1-c"}
    killed = stub_tools.resource("gcp:container/cluster:Cluster", "diffusion", inputs=name)
    (state, message), forget = stack_findings(run, tools, server, "creating", killed)
    assert state == "wrong"
    assert message == (
        "creating Cluster diffusion-7654321 has no recorded end: if no update is running, it may "
        "exist in Google Cloud and not in the state, so that nothing deletes it: look for it with "
        "`gcloud container clusters list --filter=name=diffusion-7654321 --project my-project-1`, "
        "and delete it if it is there"
    )
    assert forget[0] == "wait"
    assert FORGET in forget[1]


@pytest.mark.parametrize(
    ("type_", "operation", "code"),
    [
        ("gcp:container/cluster:Cluster", "creating", 4),
        ("gcp:container/cluster:Cluster", "deleting", 0),
        ("kubernetes:apps/v1:Deployment", "creating", 0),
    ],
)
def test_the_only_record_of_what_was_left_in_the_cloud_is_not_taken_down(
    tools: StubTools,
    server: FakeServing,
    capsys: pytest.CaptureFixture[str],
    type_: str,
    operation: str,
    code: int,
) -> None:
    killed = stub_tools.resource(type_, "diffusion", inputs={"name": "diffusion-7654321"})
    state = stub_tools.made_up_to("Service", server.endpoint)
    exported = stub_tools.export(state, [(operation, killed)])
    tools.answer("pulumi", "stack export --stack dev", exported)
    assert orphans.main(["--stack", "dev"]) == code
    lines = capsys.readouterr().err.splitlines()
    if code == 0:
        assert lines == []
    else:
        assert lines[0].startswith("error: creating Cluster diffusion-7654321 has no recorded end")
        assert lines[1].endswith(f"{FORGET}, and run `make down STACK=dev` again")


def test_a_state_that_cannot_be_read_is_not_taken_for_one_without_records(
    tools: StubTools, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.fails("pulumi", "stack export --stack dev", "error: the backend does not answer")
    assert orphans.main(["--stack", "dev"]) == 4
    assert capsys.readouterr().err == (
        "error: cannot read the state of stack dev (the backend does not answer): run "
        "`make down STACK=dev` again when it can be read\n"
    )


def test_a_stack_without_resources_has_no_records(tools: StubTools) -> None:
    tools.answer("pulumi", "stack export --stack dev", {"version": 3, "deployment": {}})
    assert orphans.main(["--stack", "dev"]) == 0


def test_a_cloud_resource_of_another_type_is_looked_for_in_the_console(
    run: CommandLine, tools: StubTools, server: FakeServing
) -> None:
    killed = stub_tools.resource("gcp:compute/routerNat:RouterNat", "nat", inputs={"name": "nat-1"})
    (state, message), _ = stack_findings(run, tools, server, "creating", killed)
    assert (state, "RouterNat nat-1" in message) == ("wrong", True)
    assert "look for it in the Google Cloud console, and delete it" in message


def test_a_deployment_whose_creation_was_killed_is_taken_over(
    run: CommandLine, tools: StubTools, server: FakeServing
) -> None:
    killed = stub_tools.kubernetes("kubernetes:apps/v1:Deployment")
    exported = stack_findings(run, tools, server, "creating", killed, last="ModelExport")
    assert exported[0] == (
        "wait",
        "creating Deployment model-server has no recorded end: if no update is running, "
        "`make up STACK=dev` takes over what exists of it",
    )
    assert FORGET in exported[1][1]
    # The next update has taken it over, and the record of the killed one is still there.
    exported = stack_findings(run, tools, server, "creating", killed)
    assert exported[0] == (
        "ok",
        "creating Deployment model-server has no recorded end, but a later update has made it",
    )
    assert exported[1][0] == "ok" and FORGET in exported[1][1]


@pytest.mark.parametrize("operation", ["updating", "deleting"])
def test_what_the_next_up_repairs_needs_no_command(
    run: CommandLine, tools: StubTools, server: FakeServing, operation: str
) -> None:
    cut_off = stub_tools.kubernetes("kubernetes:apps/v1:Deployment")
    assert stack_findings(run, tools, server, operation, cut_off) == [
        (
            "wait",
            f"{operation} Deployment model-server has no recorded end: if no update is running, "
            "`make up STACK=dev` looks at what is there",
        )
    ]


@pytest.mark.long
@pytest.mark.skipif(shutil.which("pulumi") is None, reason="the official CLI is not on PATH")
def test_the_advised_command_forgets_what_an_up_keeps(
    run: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real CLI on the state of a killed `up`."""
    backend = tmp_path / "backend"
    backend.mkdir()
    (tmp_path / "Pulumi.yaml").write_text(
        f"name: diffusion-serving\nruntime: {{name: python, options: {{virtualenv: {sys.prefix}}}}}"
    )
    (tmp_path / "__main__.py").write_text("")
    monkeypatch.setenv("ENGINE", "pulumi")
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{backend}")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "")
    monkeypatch.setenv("PULUMI_SKIP_UPDATE_CHECK", "true")

    def pulumi(command: str) -> None:
        subprocess.run(shlex.split(command), cwd=tmp_path, capture_output=True, check=True)

    def unfinished() -> list[str]:
        return [one.resource.title for one in read_state("dev", tmp_path).unfinished]

    pulumi("pulumi stack init dev")
    pulumi("pulumi up --yes --skip-preview --stack dev")
    checkpoint = backend / ".pulumi" / "stacks" / "diffusion-serving" / "dev.json"
    document = json.loads(checkpoint.read_text())
    killed = stub_tools.kubernetes("kubernetes:apps/v1:Deployment")
    document["checkpoint"]["latest"]["pending_operations"] = [
        {"type": "creating", "resource": {**killed, "id": ""}}
    ]
    checkpoint.write_text(json.dumps(document))
    assert unfinished() == ["Deployment model-server"]
    pulumi("pulumi up --yes --skip-preview --refresh --stack dev")
    assert unfinished() == ["Deployment model-server"]
    pulumi(FORGET.strip("`"))
    assert unfinished() == []
