"""`doctor` on a stack whose workers Knative runs: a front, and pods that come and go."""

from __future__ import annotations

import pytest

from client.doctor.deployed import deployed
from client.stacks import state
from tests.client import stub_tools
from tests.client.commands import CommandLine
from tests.client.doctor.findings import BACK_OFF, ENDED, findings, one
from tests.client.stub_tools import STARTED, WORKLOAD, StubTools

FRONT = "front-6f7d9c8b54-2xkpq"
REVISIONS = ("diffusion-0123456789abcdef-01234567", "diffusion-0123456789abcdef-89abcdef")
WORKERS = (
    f"{REVISIONS[0]}-deployment-5d8f7c9b6d-x2k4p",
    f"{REVISIONS[1]}-deployment-7c6d5e4f3b-abcde",
)


def metadata(name: str, owner: str) -> dict[str, object]:
    return {"name": name, "labels": {"pod-template-hash": owner.rpartition("-")[2]}}


def pod(name: str, *containers: str, **status: object) -> dict[str, object]:
    """status: what is different in each container's."""
    as_usual = {"ready": True, "restartCount": 0, "state": STARTED, "lastState": {}}
    return {
        "kind": "Pod",
        "metadata": metadata(name, name.rpartition("-")[0]),
        "spec": {"containers": [{"name": each} for each in containers]},
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": each, **as_usual, **status} for each in containers],
        },
    }


def front(**status: object) -> dict[str, object]:
    return pod(FRONT, "web", **status)


def worker(name: str) -> dict[str, object]:
    return pod(name, "web", "model-server", "queue-proxy")


def listed(*pods: dict[str, object]) -> dict[str, object]:
    """With the ReplicaSets of the front, and of each revision of the workers."""
    names = {FRONT.rpartition("-")[0]: 3}
    names |= {name.rpartition("-")[0]: 1 for name in WORKERS}
    replica_sets = [
        {
            "kind": "ReplicaSet",
            "metadata": {
                **metadata(name, name),
                "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            },
        }
        for name, revision in names.items()
    ]
    return stub_tools.items(stub_tools.deployment(), *replica_sets, *pods)


def test_a_front_and_its_workers_are_ok_and_two_revisions_are_no_rollout(
    run: CommandLine, tools: StubTools
) -> None:
    tools.answer("kubectl", WORKLOAD, listed(front(), *map(worker, WORKERS)))
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 0, ran.out
    assert findings(ran, "rollout") == []
    assert findings(ran, "pods") == [
        ("ok", f"{FRONT} serves"),
        *(("ok", f"{name} has loaded the model") for name in WORKERS),
    ]


def test_a_front_alone_is_ok_while_nobody_asks(run: CommandLine, tools: StubTools) -> None:
    tools.answer("kubectl", WORKLOAD, listed(front()))
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 0, ran.out
    assert one(ran, "pods") == ("ok", f"{FRONT} serves")
    assert one(ran, "log") == ("ok", f"the last lines of {FRONT}'s web")


def test_a_front_that_crashes_is_found_with_its_log(run: CommandLine, tools: StubTools) -> None:
    crashed = front(ready=False, lastState=ENDED, state=BACK_OFF)
    tools.answer("kubectl", WORKLOAD, listed(crashed))
    ran = run("doctor", "--stack", "dev")
    found, message = one(ran, "pods")
    assert found == "wrong" and message.startswith(f"{FRONT} ended with exit code 2")
    (asked,) = [line for line in tools.asked if "kubectl logs" in line]
    assert "-c web " in asked and "--previous" in asked


def test_the_workers_load_balancer_is_not_taken_for_the_fronts() -> None:
    # The front's has no address yet.
    web, workers = (
        stub_tools.kubernetes(
            "kubernetes:core/v1:Service",
            inputs={"metadata": {"name": name}, "spec": {"type": "LoadBalancer"}},
            outputs={
                "metadata": {"name": name},
                "status": {"loadBalancer": {"ingress": [{"ip": ip} for ip in ips]}},
            },
        )
        for name, ips in (("web", []), ("workers", ["203.0.113.9"]))
    )
    made = tuple(state._resource(one) for one in (workers, web))
    found = deployed(state.StackState(made), None)
    assert (found.is_exposed, found.endpoint) == (True, "")


@pytest.mark.parametrize("ready", [False, None])
def test_a_front_that_is_not_ready_yet_is_waited_for(
    run: CommandLine, tools: StubTools, ready: object
) -> None:
    tools.answer("kubectl", WORKLOAD, listed(front(ready=ready)))
    found, message = one(run("doctor", "--stack", "dev"), "pods")
    assert found == "wait" and message.startswith(f"{FRONT} is starting")


def test_a_front_that_is_replaced_is_a_rollout_of_the_front_alone(
    run: CommandLine, tools: StubTools
) -> None:
    replaced = pod("front-85c9d7f6b4-zzzzz", "web")
    tools.answer("kubectl", WORKLOAD, listed(front(), replaced, worker(WORKERS[0])))
    ran = run("doctor", "--stack", "dev")
    assert one(ran, "rollout")[1].startswith("new pods: 1, old: 1;")
    assert [message for _, message in findings(ran, "pods")] == [
        f"{FRONT} (new) serves",
        f"{WORKERS[0]} has loaded the model",
        "front-85c9d7f6b4-zzzzz (old) serves",
    ]
