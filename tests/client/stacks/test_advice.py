"""Every command of make that the client advises is one for the stack that it was asked about."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from client import Client, ClientError, NotExposedError
from client.stacks.discovery import PROJECT_ROOT, for_stack
from tests.client import stub_tools
from tests.client.commands import CommandLine
from tests.client.fake_serving import FakeServing
from tests.client.stub_tools import StubTools

MAKE = re.compile(
    r"make (?:up|down|status|doctor|generate|load|logs|preview|refresh|page|key)\b[^`]*"
)

Break = Callable[[FakeServing], object]


def end(server: FakeServing) -> None:
    server.state = "END"


def load(server: FakeServing) -> None:
    server.state = "LOADING"


def load_later(server: FakeServing) -> None:
    """Its status is asked first, and is good."""
    server.before_predict = lambda: load(server)


@pytest.mark.parametrize("break_it", [FakeServing.close, end, load, load_later])
@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["doctor"],
        ["generate", "x", "--no-retry"],
        ["generate", "x", "--no-wait"],
        ["generate", "x", "--timeout", "0.3"],
        ["first-picture", "--timeout", "0.3"],
        ["first-picture", "--no-wait"],
        ["again", "out/x-1.png", "--no-retry"],
        ["load", "-n", "2"],
        ["load", "-n", "2", "--json"],
    ],
)
def test_every_make_command_names_the_stack(
    run: CommandLine, tools: StubTools, server: FakeServing, command: list[str], break_it: Break
) -> None:
    assert run("generate", "x", "--seed", "1", "--stack", "dev").code == 0
    break_it(server)
    ran = run(*command, "--stack", "dev")
    advised = MAKE.findall(ran.out + ran.err)
    assert advised or ran.code == 0 or command[0] == "load", ran
    assert [advice for advice in advised if "STACK=dev" not in advice] == []


def test_a_stack_named_beside_an_endpoint_is_named_too(
    run: CommandLine, server: FakeServing
) -> None:
    server.close()
    ran = run("status", "--stack", "dev", "--endpoint", server.endpoint)
    assert "`make status STACK=dev`" in ran.error_line
    assert "`make status`" in run("status", "--endpoint", server.endpoint).error_line


def test_the_librarys_errors_name_the_stack(tools: StubTools, server: FakeServing) -> None:
    server.state = "LOADING"
    with Client.from_stack("dev", retry=False) as client:
        for ask in (lambda: client.generate("x"), client.describe):
            with pytest.raises(ClientError, match="`make status STACK=dev` shows when"):
                ask()


def test_a_private_stack_is_named_in_the_librarys_errors_too(tools: StubTools) -> None:
    outputs = stub_tools.outputs("")
    del outputs["grpcEndpoint"]
    tools.answer("pulumi", "stack output --json --stack dev", outputs)
    with pytest.raises(NotExposedError, match="type `make page STACK=dev`, and in another"):
        Client.from_stack("dev")


def test_no_advice_is_written_in_a_form_that_is_not_made_the_stacks() -> None:
    """A command in backquotes, alone or with `STACK=…`, which `for_stack` completes."""
    found = [
        (path.name, advice)
        for path in (PROJECT_ROOT / "client").rglob("*.py")
        for advice in re.findall(r"`make [a-z][^`]*`", path.read_text())
        if "STACK={" not in advice and "STACK=dev" not in advice
    ]
    assert found
    assert [one for one in found if "STACK=dev" not in for_stack(one[1], "dev")] == []


def test_each_output_of_doctor_names_the_stack(run: CommandLine, tools: StubTools) -> None:
    tools.answer("pulumi", "stack output --json --stack dev", {})
    for resources in ([], stub_tools.made_up_to("Cluster"), stub_tools.made_up_to("Deployment")):
        tools.answer("pulumi", "stack export --stack dev", stub_tools.export(resources))
        advised = MAKE.findall(run("doctor", "--stack", "dev").out)
        assert advised
        assert [advice for advice in advised if "STACK=dev" not in advice] == []
