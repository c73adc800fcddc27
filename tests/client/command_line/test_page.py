"""`page`: a private web service on a port of this machine, as long as one wants it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from client.stacks import domain, forwarding
from client.stacks.discovery import PROJECT_ROOT
from serving.names import FRONT, NAME, WEB
from tests.client import stub_tools
from tests.client.commands import CommandLine
from tests.client.fake_web import FakeWeb
from tests.client.stub_tools import FINGERPRINT, MODEL_URI, StubTools
from tests.processes import wait_until
from tests.stacks import run_of, service

FORWARD = "port-forward -n diffusion-serving --address=127.0.0.1 service/web"
OPEN = "Forwarding from 127.0.0.1:{0} -> 8080\nHandling connection for {0}\n"
LOST = "error: lost connection to pod\n"

GET_PODS = f"get pods -l {forwarding.WEB_PODS}"


@pytest.fixture
def private(tools: StubTools, monkeypatch: pytest.MonkeyPatch, free_port: int) -> StubTools:
    """A stack `dev` whose web service is private, with a pod that is ready."""
    outputs = stub_tools.outputs("")
    for name in ("endpoint", "grpcEndpoint"):
        del outputs[name]
    tools.answer("pulumi", "stack output --json --stack dev", outputs)
    tools.answer("kubectl", GET_PODS, pods("True"))
    monkeypatch.setattr(forwarding, "USUAL_PORT", free_port)
    return tools


def pods(*ready: str, **metadata: str) -> dict[str, object]:
    return stub_tools.items(
        *(
            {"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": status}]}}
            for status in ready
        )
    )


@pytest.fixture
def after_polls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], object]]]:
    """What happens at each pause, one after another; then somebody presses Ctrl-C."""
    steps: list[Callable[[], object]] = []

    def pause() -> None:
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    monkeypatch.setattr(forwarding, "_pause", pause)
    yield steps
    assert not steps


def test_a_private_page_comes_to_the_usual_port_with_ones_own_login_and_a_kubeconfig_of_its_own(
    run: CommandLine, private: StubTools, after_polls: list[Callable[[], object]], free_port: int
) -> None:
    private.answer("kubectl", FORWARD, OPEN.format(free_port), stderr=LOST, code=1)
    ran = run("page", "--stack", "dev")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0] == f"page     http://127.0.0.1:{free_port}"
    assert ran.out.splitlines()[-1] == "closed"
    (login,) = [line for line in private.asked if "get-credentials" in line]
    asked = next(line for line in private.asked if "port-forward" in line)
    assert asked.endswith(f"{FORWARD} {free_port}:80")
    kubeconfig = asked.split()[0]
    assert login.split()[0] == kubeconfig and not Path(kubeconfig).exists()


def test_no_place_is_left_open_in_what_is_said_and_asked(
    run: CommandLine, private: StubTools, after_polls: list[Callable[[], object]], free_port: int
) -> None:
    private.answer("kubectl", FORWARD, OPEN.format(free_port), stderr=LOST, code=1)
    opened = run("page", "--stack", "dev")
    private.answer("kubectl", GET_PODS, pods())
    refused = run("page", "--stack", "dev")
    said = [opened.out, opened.err, refused.out, refused.err, *private.asked]
    assert (opened.code, refused.code) == (0, 4)
    assert not [text for text in said if re.search(r"…|[{}<>]|STACK=(?!dev)|\bNone\b", text)]


def test_another_port_is_taken_if_the_usual_one_is_in_use(
    run: CommandLine, private: StubTools, after_polls: list[Callable[[], object]], free_port: int
) -> None:
    private.answer("kubectl", FORWARD, OPEN.format(40123), stderr=LOST, code=1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port))
        taken.listen()
        after_polls.append(lambda: None)
        ran = run("page", "--stack", "dev")
    assert ran.out.startswith("page     http://127.0.0.1:40123\n")
    ports = [line.split()[-1] for line in private.asked if "port-forward" in line]
    assert ports == [":80", "40123:80"], "the page's address stays the same"


def test_the_next_pod_is_connected_to_when_one_goes(
    run: CommandLine,
    private: StubTools,
    after_polls: list[Callable[[], object]],
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    private.answer("kubectl", FORWARD, OPEN.format(free_port), stderr=LOST, code=1)
    answers = iter(
        [
            lambda: True,  # to begin with
            lambda: False,
            unreachable,
            unreachable,
            lambda: True,
            stopped,
        ]
    )
    monkeypatch.setattr(forwarding, "_has_ready_pod", lambda _environment: next(answers)())
    after_polls += [lambda: None] * 5
    ran = run("page", "--stack", "dev")
    assert ran.code == 0
    assert ran.out.splitlines()[2:] == [
        "the connection to the pod is lost: connecting again",
        "no pod is ready yet: waiting for one",
        "kubectl failed: no route",
        "connected again",
        "the connection to the pod is lost: connecting again",
        "closed",
    ]


def unreachable() -> bool:
    raise forwarding.UnreachableError("kubectl failed: no route")


def stopped() -> bool:
    raise KeyboardInterrupt


@pytest.mark.parametrize("status", [(), ("False",), ("Unknown", "False")])
def test_without_a_ready_pod_doctor_is_named(
    run: CommandLine, private: StubTools, status: tuple[str, ...]
) -> None:
    private.answer("kubectl", GET_PODS, pods(*status))
    ran = run("page", "--stack", "dev")
    assert (ran.code, ran.out) == (4, "")
    assert ran.error_line == (
        "error: no pod of the web service is ready: `make doctor STACK=dev` says why"
    )


def test_a_pod_that_is_ending_is_not_forwarded_to(run: CommandLine, private: StubTools) -> None:
    ending = pods("True", deletionTimestamp="2026-03-01T10:00:00Z")
    private.answer("kubectl", GET_PODS, ending)
    assert "no pod of the web service is ready" in run("page", "--stack", "dev").error_line


def test_what_kubectl_says_against_the_port_is_said_in_one_line(
    run: CommandLine, private: StubTools
) -> None:
    private.fails("kubectl", FORWARD, 'error: services "web" not found')
    ran = run("page", "--stack", "dev")
    assert ran.code == 4
    assert ran.error_line == 'error: kubectl port-forward failed: services "web" not found'


@pytest.mark.parametrize("tool", ["kubectl", "gcloud", "gke-gcloud-auth-plugin"])
def test_a_missing_tool_is_named_with_where_to_get_it(
    run: CommandLine, private: StubTools, tool: str
) -> None:
    if tool == "gke-gcloud-auth-plugin":
        private.answer(tool, "", "")
    private.remove(tool)
    ran = run("page", "--stack", "dev")
    assert ran.code == 4
    assert ran.error_line.startswith(f"error: {tool} is not on PATH: install it, ")


def test_a_cluster_that_cannot_be_reached_is_one_line(run: CommandLine, private: StubTools) -> None:
    private.fails("gcloud", "container clusters get-credentials", "ERROR: (gcloud) not found")
    line = run("page", "--stack", "dev").error_line
    assert "not found" in line and "`make doctor STACK=dev`" in line


@pytest.mark.parametrize("stack", ["local", "dev"])
def test_a_page_that_is_here_or_public_is_named_and_nothing_is_forwarded(
    run: CommandLine, tools: StubTools, stack: str
) -> None:
    page = "http://127.0.0.1:8080"
    outputs = {**stub_tools.outputs(page), "page": page}
    tools.answer("pulumi", f"stack output --json --stack {stack}", outputs)
    ran = run("page", "--stack", stack)
    assert (ran.code, ran.out, ran.err) == (0, f"page     {page}\n", "")
    assert not any("kubectl" in line for line in tools.asked)


def with_domain(tools: StubTools, page: str) -> None:
    """Gives the stack `dev` a domain, at which this page is."""
    outputs = {**stub_tools.outputs(page), "page": page, "address": "203.0.113.7"}
    tools.answer("pulumi", "stack output --json --stack dev", outputs)


@pytest.mark.parametrize(
    ("addresses", "lacks"),
    [
        (set[str](), "localhost has no address: in your DNS, give localhost an A record with"),
        ({"198.51.100.1"}, "localhost leads to 198.51.100.1: in your DNS, give localhost an A "),
        ({"203.0.113.7"}, "Google makes the certificate, within 60 minutes; `make doctor STACK="),
    ],
)
def test_what_a_domain_lacks_in_dns_or_as_its_certificate_is_said_in_one_line(
    run: CommandLine,
    tools: StubTools,
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
    addresses: set[str],
    lacks: str,
) -> None:
    monkeypatch.setattr(domain, "_addresses", lambda _name: addresses)
    page = f"http://localhost:{free_port}"
    with_domain(tools, page)
    ran = run("page", "--stack", "dev")
    assert (ran.code, ran.err) == (0, "")
    first, line = ran.out.splitlines()
    assert (first, line.startswith(f"next     {lacks}")) == (f"page     {page}", True), line


def test_of_a_domain_that_answers_nothing_more_is_said(
    run: CommandLine, tools: StubTools, web: FakeWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domain, "_addresses", lambda _name: set())
    with_domain(tools, web.endpoint)
    ran = run("page", "--stack", "dev")
    assert (ran.code, ran.out, ran.err) == (0, f"page     {web.endpoint}\n", "")


def test_a_stack_without_a_web_service_is_one_line(run: CommandLine, tools: StubTools) -> None:
    outputs = {"endpoint": "http://127.0.0.1:8501", "modelUri": MODEL_URI, "limits": {}}
    tools.answer("pulumi", "stack output --json --stack local", outputs | {"f": FINGERPRINT})
    assert run("page").error_line == "error: stack local has no page: `make up` makes it"


@pytest.mark.parametrize("ends", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_kubectl_too(
    private: StubTools, free_port: int, ends: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{private.path}:/usr/bin:/bin")
    script = private.path / "kubectl"
    text = script.read_text()
    waits = f'port-forward*) echo "Forwarding from 127.0.0.1:{free_port} -> 8080"; exec sleep 60;;'
    script.write_text(text.replace('case "$*" in', f'echo $$ > "$0.pid"; case "$*" in\n{waits}'))
    page = subprocess.Popen(
        [sys.executable, "-m", "client", "page", "--stack", "dev"],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert page.stdout is not None
    assert page.stdout.readline().startswith("page     http://127.0.0.1:")
    kubectl = int((private.path / "kubectl.pid").read_text())
    page.send_signal(ends)
    assert page.wait(20) == 0
    assert page.stdout.read().endswith("closed\n")
    wait_until(lambda: not is_alive(kubectl), "kubectl's end")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_service_is_the_programs() -> None:
    spec = service(run_of("dev"), WEB).inputs["spec"]
    assert f"service/{WEB}" == forwarding._SERVICE
    assert [port["port"] for port in spec["ports"]] == [forwarding._SERVICE_PORT]
    assert f"name in ({NAME}, {FRONT})" in forwarding.WEB_PODS
