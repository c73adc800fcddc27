"""`doctor` after an update that was killed: what it may have left, and the command to forget it."""

from __future__ import annotations

import pytest

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
