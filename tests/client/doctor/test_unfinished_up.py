"""`doctor` where it is needed most: a first `up` failed half way, and stored no outputs."""

from __future__ import annotations

import pytest

from client.stacks.discovery import PROJECT_ROOT
from tests.client import stub_tools
from tests.client.commands import CommandLine
from tests.client.doctor.findings import findings, one
from tests.client.fake_serving import FakeServing
from tests.client.stub_tools import FINGERPRINT, MODEL_URI, POD, WORKLOAD, StubTools


@pytest.fixture
def tools(tools: StubTools) -> StubTools:
    """The stack `dev` after its first `up` failed while the pods were starting."""
    tools.answer("pulumi", "stack output --json --stack dev", {})
    tools.answer("kubectl", WORKLOAD, stub_tools.workload(stub_tools.pod(ready=False)))
    has(tools, *stub_tools.made_up_to("Deployment"))
    return tools


def has(tools: StubTools, *resources: object, pending: tuple[tuple[str, object], ...] = ()) -> None:
    """Makes these the state's resources."""
    tools.answer("pulumi", "stack export --stack dev", stub_tools.export(resources, pending))


def test_every_check_runs_on_what_the_state_tells(run: CommandLine, tools: StubTools) -> None:
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 4
    assert ran.err == ""
    lines = [line.split()[:2] for line in ran.out.splitlines() if "  | " not in line]
    assert lines[1:] == [
        *(["ok", "tools"], ["ok", "bucket"], ["ok", "files"], ["ok", "cluster"]),
        ["ok", "keys"],
        *(["wait", "pods"], ["ok", "log"], ["ok", "quota"], ["ok", "quota"], ["ok", "quota"]),
        ["wrong", "service"],
    ]
    assert one(ran, "files")[1] == f"the model is in {MODEL_URI}"
    assert "there is no Service: `make up STACK=dev` makes it" in one(ran, "service")[1]


def test_it_says_what_was_made_last_and_what_is_missing(run: CommandLine, tools: StubTools) -> None:
    state, message = one(run("doctor", "--stack", "dev"), "stack")
    assert (state, message) == (
        "wrong",
        "`make up STACK=dev` has not finished: the last thing made is Deployment model-server, at "
        "2026-03-01 10:31 UTC, and there is no Service; run it again after what is wrong below",
    )
    has(tools, *stub_tools.made_up_to("Bucket"))
    ran = run("doctor", "--stack", "dev")
    assert "made is Cluster diffusion-1a2b3c4" in one(ran, "stack")[1]
    assert "there is no model, no Deployment, no Service" in one(ran, "stack")[1]
    assert one(ran, "files") == ("wrong", "no model has been exported: `make up STACK=dev` does it")


def test_a_cluster_whose_own_project_is_not_recorded_is_reached(
    run: CommandLine, tools: StubTools
) -> None:
    where = {"name": "diffusion-1a2b3c4", "location": "us-central1-c"}
    cluster = {**stub_tools.cluster(), "inputs": where, "outputs": where}
    has(tools, cluster, *stub_tools.made_up_to("Deployment")[1:])
    ran = run("doctor", "--stack", "dev")
    assert one(ran, "cluster")[0] == "ok"
    assert f"--project {stub_tools.PROJECT} " in one(ran, "cluster")[1]


def test_without_a_cluster_the_rest_is_still_checked(run: CommandLine, tools: StubTools) -> None:
    has(tools, *stub_tools.made_up_to("ModelExport")[2:])
    ran = run("doctor", "--stack", "dev")
    assert one(ran, "cluster") == ("wrong", "there is no cluster: `make up STACK=dev` makes it")
    assert one(ran, "bucket")[0] == one(ran, "files")[0] == "ok"
    assert not [line for line in tools.asked if "get-credentials" in line]


def test_an_empty_stack_is_one_finding(run: CommandLine, tools: StubTools) -> None:
    has(tools)
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 4
    assert one(ran, "stack")[1] == "stack dev is empty: deploy it with `make up STACK=dev`"
    assert len(ran.out.splitlines()) == 1


def test_outputs_that_cannot_be_read_are_not_taken_for_none(
    run: CommandLine, tools: StubTools, server: FakeServing
) -> None:
    """As without the passphrase, which the state's own values do not need."""
    tools.fails("pulumi", "stack output --json --stack dev", "error: incorrect passphrase")
    exported = stub_tools.export(stub_tools.made_up_to("Service", server.endpoint))
    exported["deployment"]["resources"][0]["outputs"] = {"modelUri": MODEL_URI}  # type: ignore[index]
    tools.answer("pulumi", "stack export --stack dev", exported)
    ran = run("doctor", "--stack", "dev")
    state, message = one(ran, "stack")
    assert (state, "(incorrect passphrase)" in message) == ("unknown", True)
    assert one(ran, "service")[0] == "ok"


def test_a_resource_that_did_not_get_ready_is_named_with_its_error(
    run: CommandLine, tools: StubTools
) -> None:
    failed = stub_tools.kubernetes(
        "kubernetes:core/v1:Service",
        initErrors=["2 errors occurred:\n\t* resource timed out\n\t* Service does not target Pods"],
    )
    has(tools, *stub_tools.made_up_to("Deployment"), failed)
    found = findings(run("doctor", "--stack", "dev"), "stack")
    assert found[1] == (
        "wrong",
        "Service model-server did not get ready: 2 errors occurred: * resource timed out * "
        "Service does not target Pods",
    )


def test_a_pod_that_fits_on_no_node(run: CommandLine, tools: StubTools) -> None:
    tools.answer("kubectl", WORKLOAD, stub_tools.workload(stub_tools.unschedulable_pod()))
    scheduling = {
        "type": "Normal",
        "reason": "NotTriggerScaleUp",
        "message": "pod didn't trigger scale-up: 1 max node group size reached",
    }
    tools.answer("kubectl", "get events", stub_tools.items(scheduling))
    ran = run("doctor", "--stack", "dev")
    state, message = one(ran, "pods")
    assert (state, "0/1 nodes are available: 1 Insufficient cpu." in message) == ("wrong", True)
    assert "  | NotTriggerScaleUp: pod didn't trigger scale-up: 1 max node group" in ran.out


@pytest.mark.parametrize("container", ["wait-for-model", "model-server"])
def test_an_image_that_cannot_be_pulled(run: CommandLine, tools: StubTools, container: str) -> None:
    """It is the same image, and the init container is the first to need it."""
    back_off: dict[str, object] = {"waiting": {"reason": "ImagePullBackOff", "message": "no tag"}}
    pod = (
        stub_tools.pod(init=back_off)
        if container == "wait-for-model"
        else stub_tools.pod(ready=False, state=back_off)
    )
    tools.answer("kubectl", WORKLOAD, stub_tools.workload(pod))
    ran = run("doctor", "--stack", "dev")
    state, message = one(ran, "pods")
    assert (state, "cannot pull its image (no tag): check imageDigest" in message) == (
        "wrong",
        True,
    )
    assert findings(ran, "log") == []  # nothing has run


def test_a_bucket_that_answers_403(run: CommandLine, tools: StubTools) -> None:
    policy = stub_tools.iam_policy(role="roles/storage.objectCreator")
    tools.answer("gcloud", "storage buckets get-iam-policy", policy)
    tools.answer("kubectl", WORKLOAD, stub_tools.workload(stub_tools.pod(init=stub_tools.STARTED)))
    tools.answer(
        "kubectl",
        "logs",
        "0 s: no token: the metadata server metadata.google.internal answers 'nothing'\n"
        "12 s: 403 Forbidden for gs://b/m/1/saved_model.pb: model-server lacks "
        "roles/storage.objectViewer on gs://b, or got it just now; `make up` grants it\n",
    )
    ran = run("doctor", "--stack", "dev")
    assert one(ran, "bucket")[0] == "wrong"
    assert one(ran, "pods") == (
        "wait",
        f"{POD} waits for the model's files: see the check `log`",
    )
    state, message = one(ran, "log")
    assert state == "wait"
    assert message == (
        f"{POD} waits for the model: 403 Forbidden for gs://b/m/1/saved_model.pb: model-server "
        "lacks roles/storage.objectViewer on gs://b, or got it just now; `make up STACK=dev` "
        "grants it"
    )
    assert any("kubectl logs" in asked and "-c wait-for-model" in asked for asked in tools.asked)


def test_a_model_that_can_be_read_is_not_waited_for_any_more(
    run: CommandLine, tools: StubTools
) -> None:
    tools.answer("kubectl", WORKLOAD, stub_tools.workload(stub_tools.pod(init=stub_tools.STARTED)))
    log = f"0 s: no token: nothing\n9 s: ready to read {MODEL_URI}/1/saved_model.pb\n"
    tools.answer("kubectl", "logs", log)
    state, message = one(run("doctor", "--stack", "dev"), "log")
    assert (state, message) == ("ok", f"the last lines of {POD}'s wait-for-model")


@pytest.mark.parametrize("script", ["wait_for_model", "start"])
def test_what_it_looks_for_in_a_log_is_what_the_pods_scripts_say(script: str) -> None:
    folder = PROJECT_ROOT / "serving" / "tensorflow_serving" / "scripts"
    text = (folder / f"{script}.sh").read_text()
    says = {
        "start": ["start: the server found no model"],
        "wait_for_model": [
            '"$SECONDS s: $reason"',
            '"$SECONDS s: ready to read $file"',
            '"gave up after $SECONDS s: $reason"',
        ],
    }
    assert [words for words in says[script] if words not in text] == []


@pytest.mark.parametrize(
    ("init", "previous"),
    [
        ({"terminated": {"exitCode": 1, "reason": "Error"}}, False),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, True),
    ],
)
def test_an_init_container_that_gave_up(
    run: CommandLine, tools: StubTools, init: dict[str, object], previous: bool
) -> None:
    ended: dict[str, object] = {"terminated": {"exitCode": 1, "reason": "Error"}}
    pod = stub_tools.pod(init=init, init_last=ended if previous else None)
    tools.answer("kubectl", WORKLOAD, stub_tools.workload(pod))
    last = (
        "gave up after 600 s: 404 Not Found for gs://b/m/1/saved_model.pb: the model is not there"
    )
    tools.answer("kubectl", "logs", f"0 s: no token: nothing\n{last}\n")
    ran = run("doctor", "--stack", "dev")
    assert "'s init container wait-for-model ended with exit code 1" in one(ran, "pods")[1]
    state, message = one(ran, "log")
    assert (state, message.partition(": ")[0]) == (
        "wrong",
        f"{POD} gave up waiting for the model",
    )
    assert message.endswith("404 Not Found for gs://b/m/1/saved_model.pb: the model is not there")
    (asked,) = [asked for asked in tools.asked if "kubectl logs" in asked]
    assert ("--previous" in asked) is previous


def test_an_init_container_that_runs_out_of_memory_or_a_sidecar_that_runs(
    run: CommandLine, tools: StubTools
) -> None:
    killed: dict[str, object] = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    tools.answer("kubectl", WORKLOAD, stub_tools.workload(stub_tools.pod(init=killed)))
    assert "ran out of memory" in one(run("doctor", "--stack", "dev"), "pods")[1]
    pod = stub_tools.pod()
    sidecar = {"name": "gke-gcsfuse-sidecar", "started": True, "state": stub_tools.STARTED}
    pod["status"]["initContainerStatuses"].insert(0, sidecar)  # type: ignore[index]
    tools.answer("kubectl", WORKLOAD, stub_tools.workload(pod))
    assert one(run("doctor", "--stack", "dev"), "pods")[0] == "ok"


def test_a_server_that_runs_out_of_memory(run: CommandLine, tools: StubTools) -> None:
    killed: dict[str, object] = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    back_off: dict[str, object] = {"waiting": {"reason": "CrashLoopBackOff"}}
    pod = stub_tools.pod(ready=False, state=back_off, last_state=killed)
    tools.answer("kubectl", WORKLOAD, stub_tools.workload(pod))
    ran = run("doctor", "--stack", "dev")
    assert one(ran, "pods") == (
        "wrong",
        f"{POD} ran out of memory: raise memoryRequestGib or choose a larger machineType",
    )


def test_a_model_that_is_not_the_stacks(
    run: CommandLine, tools: StubTools, server: FakeServing
) -> None:
    has(tools, *stub_tools.made_up_to("Service", server.endpoint))
    tools.answer("kubectl", WORKLOAD, stub_tools.workload(stub_tools.pod()))
    assert one(run("doctor", "--stack", "dev"), "service")[0] == "ok"
    server.described = {**stub_tools_description(server), "fingerprint": "fedcba9876543210"}
    state, message = one(run("doctor", "--stack", "dev"), "service")
    assert state == "wrong"
    assert f"serves model fedcba9876543210, but the stack's is {FINGERPRINT}" in message
    other = f"gs://{stub_tools.BUCKET}/models/fedcba9876543210"
    listed = stub_tools.items(*stub_tools.revision(1, model_uri=other), stub_tools.pod())
    tools.answer("kubectl", WORKLOAD, listed)
    state, message = one(run("doctor", "--stack", "dev"), "rollout")
    assert state == "wrong"
    assert "the pods read model fedcba9876543210, but the stack's is" in message


def stub_tools_description(server: FakeServing) -> dict[str, object]:
    assert isinstance(server.described, dict)
    return server.described


def test_a_model_of_another_tensorflow(run: CommandLine, tools: StubTools) -> None:
    tools.answer("kubectl", "logs", "INVALID_ARGUMENT: Op type not registered 'NewOp' in binary\n")
    state, message = one(run("doctor", "--stack", "dev"), "log")
    assert (state, "another TensorFlow than the image" in message) == ("wrong", True)


def test_a_load_balancer_without_an_address_is_wait(run: CommandLine, tools: StubTools) -> None:
    service = stub_tools.service("http://203.0.113.7:8501")
    service["outputs"] = service["inputs"]
    has(tools, *stub_tools.made_up_to("Deployment"), service)
    assert one(run("doctor", "--stack", "dev"), "service") == (
        "wait",
        "the load balancer has no address yet",
    )


def test_secrets_in_the_state_are_neither_needed_nor_shown(
    run: CommandLine, tools: StubTools
) -> None:
    ran = run("doctor", "--stack", "dev")
    assert "ciphertext" not in ran.out and "v1:x" not in ran.out
    assert not [asked for asked in tools.asked if "show-secrets" in asked]


def test_a_local_stack_of_another_name_gets_the_local_advice(
    run: CommandLine, tools: StubTools
) -> None:
    type_ = "pulumi-python:dynamic/diffusion:LocalModelServer"
    has(tools, stub_tools.resource(type_, "server"))
    ran = run("doctor", "--stack", "dev")
    assert [line.split()[1] for line in ran.out.splitlines()] == ["stack"]
