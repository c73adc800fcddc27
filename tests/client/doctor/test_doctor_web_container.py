"""`doctor` on a cluster: the web service's container, its keys, and the way to it."""

from __future__ import annotations

import pytest

from client.doctor.deployed import deployed
from client.stacks import state
from prediction.endpoints import Protocol
from tests.client import stub_tools
from tests.client.commands import CommandLine
from tests.client.doctor.findings import BACK_OFF, ENDED, one
from tests.client.fake_web import FakeWeb
from tests.client.stub_tools import POD, WORKLOAD, StubTools


def test_the_log_is_the_web_services_if_that_is_what_crashes(
    run: CommandLine, tools: StubTools
) -> None:
    crashed = {"ready": False, "lastState": ENDED, "state": BACK_OFF}
    tools.answer("kubectl", WORKLOAD, stub_tools.workload(stub_tools.pod(web=crashed)))
    ran = run("doctor", "--stack", "dev")
    assert one(ran, "log")[1] == f"the last lines of {POD}'s web before its last crash"
    (asked,) = [line for line in tools.asked if "kubectl logs" in line]
    assert "-c web " in asked and "--previous" in asked


def test_a_pod_of_an_earlier_version_without_a_web_service_is_ok(
    run: CommandLine, tools: StubTools
) -> None:
    pod = stub_tools.pod()
    del pod["status"]["containerStatuses"][1]  # type: ignore[index]
    tools.answer("kubectl", WORKLOAD, stub_tools.workload(pod))
    assert one(run("doctor", "--stack", "dev"), "pods")[0] == "ok"


def test_keys_are_named_by_whose_they_are_and_never_shown(
    run: CommandLine, tools: StubTools
) -> None:
    ran = run("doctor", "--stack", "dev")
    assert one(ran, "keys") == ("ok", "the web service has keys of alice, bob")
    names = [f"name-{number}" for number in range(12)]
    tools.answer("kubectl", "get secret web-keys", stub_tools.keys_secret(*names))
    ran = run("doctor", "--stack", "dev")
    assert one(ran, "keys")[1].endswith("name-8, name-9 and 2 others")
    assert "aaaa" not in ran.out


@pytest.mark.parametrize(
    "secret",
    [
        stub_tools.keys_secret(),
        {"data": {}},
        {"data": {"keys.json": "no base64"}},
        {"data": {"keys.json": "W10="}},
        {"data": {"keys.json": "/w=="}},
    ],
)
def test_a_web_service_without_keys_is_wrong(
    run: CommandLine, tools: StubTools, secret: dict[str, object]
) -> None:
    tools.answer("kubectl", "get secret web-keys", secret)
    state, message = one(run("doctor", "--stack", "dev"), "keys")
    assert state == "wrong"
    assert "`make key STACK=dev NAME=alice` draws one, and `make up STACK=dev` brings it" in message


@pytest.mark.parametrize(
    ("stderr", "state", "says"),
    [
        ('Error: secrets "web-keys" not found', "wrong", "`make up STACK=dev` makes it again"),
        ("Error: secrets is forbidden", "unknown", "is forbidden: run `gcloud auth login`"),
    ],
)
def test_keys_that_cannot_be_read_are_said_with_the_reason(
    run: CommandLine, tools: StubTools, stderr: str, state: str, says: str
) -> None:
    tools.fails("kubectl", "get secret web-keys", stderr)
    found, message = one(run("doctor", "--stack", "dev"), "keys")
    assert (found, says in message) == (state, True), message


def test_a_public_web_service_is_asked_with_a_key(
    run: CommandLine, tools: StubTools, web: FakeWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = {**stub_tools.outputs(web.endpoint), "page": web.endpoint}
    tools.answer("pulumi", "stack output --json --stack dev", outputs)
    tools.answer("pulumi", "stack export --stack dev", stub_tools.export([stub_tools.cluster()]))
    assert one(run("doctor", "--stack", "dev"), "service") == (
        "unknown",
        f"{web.endpoint} asks for a key: set DIFFUSION_API_KEY to one, and ask again",
    )
    monkeypatch.setenv("DIFFUSION_API_KEY", "a-key-of-the-stack-s")
    assert one(run("doctor", "--stack", "dev"), "service")[0] == "ok"


def test_a_load_balancer_of_the_web_service_goes_before_the_model_servers() -> None:
    web, server = stub_tools.service("http://203.0.113.7:80"), stub_tools.service("http://x:8501")
    for part in ("inputs", "outputs"):
        web[part] = {**web[part], "metadata": {"name": "web"}}  # type: ignore[dict-item]
    made = [state._resource(one) for one in (server, web)]
    found = deployed(state.StackState(tuple(made)), None)
    assert (found.endpoint, found.protocol) == ("http://203.0.113.7", Protocol.WEB)
    assert deployed(state.StackState(tuple(made[:1])), None).endpoint == "http://x:8501"


def test_a_private_service_is_ok_with_the_way_to_it(run: CommandLine, tools: StubTools) -> None:
    web = stub_tools.kubernetes("kubernetes:core/v1:Service", "web")
    tools.answer("pulumi", "stack export --stack dev", stub_tools.export([web]))
    outputs = stub_tools.outputs("")
    tools.answer("pulumi", "stack output --json --stack dev", outputs)
    assert one(run("doctor", "--stack", "dev"), "service") == (
        "ok",
        "it is private: `make page STACK=dev` brings it to this machine",
    )
