"""`doctor` during a rollout: which pods are old and which new, and the files of both models."""

from __future__ import annotations

from tests.client import stub_tools
from tests.client.commands import CommandLine
from tests.client.doctor.findings import findings, one
from tests.client.fake_serving import FakeServing
from tests.client.stub_tools import BUCKET, FINGERPRINT, MODEL_URI, POD, WORKLOAD, StubTools

NEW_MODEL = "fedcba9876543210"
NEW_URI = f"gs://{BUCKET}/models/{NEW_MODEL}"
NEW_HASH = "7c6d5e4f3b"
NEW_POD = f"model-server-{NEW_HASH}-abcde"


def failed_rollout(tools: StubTools, server: FakeServing) -> None:
    """The new pod crashes; the outputs are still those of the old model."""
    old = stub_tools.model_export(delete=True)
    state = stub_tools.made_up_to("Service", server.endpoint)
    state = [one for one in state if not str(one["type"]).endswith(":ModelExport")]
    state += [stub_tools.model_export(NEW_MODEL), old]
    tools.answer("pulumi", "stack export --stack dev", stub_tools.export(state))
    crash: dict[str, object] = {"terminated": {"exitCode": 255, "reason": "Error"}}
    back_off: dict[str, object] = {"waiting": {"reason": "CrashLoopBackOff"}}
    listed = stub_tools.items(
        stub_tools.deployment(),
        stub_tools.pod(),
        *stub_tools.revision(1),
        *stub_tools.revision(2, NEW_HASH, NEW_URI),
        stub_tools.pod(name=NEW_POD, ready=False, state=back_off, last_state=crash),
    )
    tools.answer("kubectl", WORKLOAD, listed)


def test_the_new_pods_are_told_from_the_old_with_their_models(
    run: CommandLine, tools: StubTools, server: FakeServing
) -> None:
    failed_rollout(tools, server)
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 4
    assert findings(ran, "rollout") == [
        ("wait", "new pods: 1, old: 1; the old ones serve until the new ones do")
    ]
    new, old = findings(ran, "pods")
    assert new == (
        "wrong",
        f"{NEW_POD} (new, model {NEW_MODEL}) ended with exit code 255 and is restarting: see the "
        "check `log`",
    )
    assert old == ("ok", f"{POD} (old, model {FINGERPRINT}) has loaded the model")


def test_the_new_models_files_are_looked_at_and_the_old_ones_too(
    run: CommandLine, tools: StubTools, server: FakeServing
) -> None:
    failed_rollout(tools, server)
    ran = run("doctor", "--stack", "dev")
    assert findings(ran, "files") == [
        ("ok", f"the model is in {NEW_URI}"),
        ("ok", f"the old model is in {MODEL_URI}"),
    ]
    missing = "ERROR: (gcloud.storage.objects.describe) not found: 404.\n"
    tools.fails("gcloud", "storage objects describe", missing)
    new, old = findings(run("doctor", "--stack", "dev"), "files")
    assert new[0] == "wrong" and NEW_URI in new[1]
    assert old == (
        "wait",
        f"the old model is not in {MODEL_URI}: pods that read it cannot restart",
    )


def test_outputs_of_an_up_before_the_last_one_are_said_to_be(
    run: CommandLine, tools: StubTools, server: FakeServing
) -> None:
    failed_rollout(tools, server)
    assert one(run("doctor", "--stack", "dev"), "stack") == (
        "wrong",
        f"dev serves model {FINGERPRINT}; an `up` that did not finish made model {NEW_MODEL}: "
        "run `make up STACK=dev`",
    )


def test_new_pods_that_kubernetes_does_not_admit_are_explained(
    run: CommandLine, tools: StubTools
) -> None:
    refused = {
        "type": "ReplicaFailure",
        "status": "True",
        "message": 'pods "model-server-x" is forbidden: exceeded quota',
    }
    listed = stub_tools.items(stub_tools.deployment(refused), *stub_tools.revision(1))
    tools.answer("kubectl", WORKLOAD, listed)
    ran = run("doctor", "--stack", "dev")
    assert one(ran, "rollout")[0] == "wrong"
    assert findings(ran, "pods") == []
    assert 'does not let pods start: pods "model-server-x" is forbidden' in ran.out


def test_pods_that_stop_or_whose_node_is_gone_are_no_fault(
    run: CommandLine, tools: StubTools
) -> None:
    stopping = stub_tools.pod(ready=False)
    stopping["metadata"]["deletionTimestamp"] = "2026-03-01T10:00:00Z"  # type: ignore[index]
    gone = stub_tools.pod(ready=False)
    gone["status"] = {"phase": "Failed", "reason": "NodeShutdown"}
    tools.answer("kubectl", WORKLOAD, stub_tools.workload(stopping, gone, stub_tools.pod()))
    tools.answer("kubectl", "logs", "Running gRPC ModelServer\n")
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 0, ran.out
    first, second, _ = [message for _, message in findings(ran, "pods")]
    assert first == f"{POD} is stopping: it finishes its requests first"
    assert "has ended (NodeShutdown)" in second
