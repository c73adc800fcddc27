"""`doctor` on a cluster: every check with the tools' real output, and the advice it gives."""

from __future__ import annotations

import re

import pytest

from client.doctor import cluster as doctor_cluster
from client.doctor import keys, last_update, pods
from client.doctor.deployed import KEYS_SECRET
from client.stacks import cluster, discovery, state
from client.stacks.cluster import ClusterName, cluster_of
from client.stacks.discovery import PROJECT_ROOT
from infra.gke.identity import READER_ROLE
from infra.gke.kubeconfig import kubeconfig_command
from infra.settings.gke import NAMESPACE, SERVICE_ACCOUNT
from serving.names import FRONT, NAME, WEB, WORKER
from tests.client import stub_tools
from tests.client.commands import CommandLine
from tests.client.doctor.findings import BACK_OFF, ENDED, findings, one
from tests.client.fake_serving import FakeServing
from tests.client.stub_tools import POD, WORKLOAD, StubTools
from tests.stacks import container, pod_spec, run_of

OUT_OF_MEMORY: dict[str, object] = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}


def test_a_healthy_stack_is_0_and_every_check_is_ok(run: CommandLine, tools: StubTools) -> None:
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 0, ran.out
    lines = [line for line in ran.out.splitlines() if "  | " not in line]
    assert {line.split()[0] for line in lines} == {"ok"}
    checks = [line.split()[1] for line in lines]
    assert list(dict.fromkeys(checks)) == [
        *("stack", "tools", "bucket", "files", "cluster", "keys", "pods", "log", "quota", "service")
    ]
    assert "                  | Running gRPC ModelServer" in ran.out


def test_it_queries_the_stacks_cluster_and_leaves_the_users_kubeconfig_alone(
    run: CommandLine, tools: StubTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/home/me/.kube/config")
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 0
    asked = [line.partition(" ") for line in tools.asked]
    paths = {path for path, _, command in asked if command.startswith(("kubectl", "gcloud"))}
    (kubeconfig,) = paths
    assert kubeconfig and kubeconfig != "/home/me/.kube/config"
    commands = [command for _, _, command in asked]
    credentials = next(c for c in commands if "get-credentials" in c)
    typed = str(stub_tools.outputs("")["kubeconfigCommand"])
    assert credentials.startswith(typed)
    assert f"before kubectl, type `{typed}`" in one(ran, "cluster")[1]
    assert all(" delete " not in c and " apply " not in c for c in commands)


@pytest.mark.parametrize("tool", ["gcloud", "kubectl", "gke-gcloud-auth-plugin"])
def test_a_missing_tool_is_one_line_that_says_where_to_get_it(
    run: CommandLine, tools: StubTools, tool: str
) -> None:
    tools.remove(tool)
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 4
    state, message = one(ran, "tools")
    assert state == "wrong"
    assert message.startswith(f"{tool} is not on PATH: install it, ")
    assert one(ran, "service")[0] == "ok"


def test_a_bucket_that_pods_cannot_read_is_found(run: CommandLine, tools: StubTools) -> None:
    policy = stub_tools.iam_policy(role="roles/storage.objectCreator")
    tools.answer("gcloud", "storage buckets get-iam-policy", policy)
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 4
    state, message = one(ran, "bucket")
    assert state == "wrong"
    assert f"pods cannot read gs://{stub_tools.BUCKET}" in message
    assert "grant it with `make up STACK=dev`" in message


def test_a_model_missing_from_the_bucket_is_found(run: CommandLine, tools: StubTools) -> None:
    tools.fails(
        "gcloud",
        "storage objects describe",
        "WARNING: see the docs\nERROR: (gcloud.storage.objects.describe) gs://x not found: 404.\n",
    )
    state, message = one(run("doctor", "--stack", "dev"), "files")
    assert state == "wrong"
    assert message == (
        f"{stub_tools.MODEL_URI}/1/saved_model.pb does not exist: "
        "export the model with `make up STACK=dev`"
    )


def test_an_unschedulable_pod_is_reported_with_the_schedulers_message(
    run: CommandLine, tools: StubTools
) -> None:
    tools.answer("kubectl", WORKLOAD, stub_tools.workload(stub_tools.unschedulable_pod()))
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 4
    state, message = one(ran, "pods")
    assert state == "wrong"
    assert "0/1 nodes are available: 1 Insufficient cpu." in message
    assert "lower cpuRequest or memoryRequestGib" in message
    assert findings(ran, "log") == []


CRASHED: dict[str, object] = {"terminated": {"exitCode": 255, "reason": "Error"}}


@pytest.mark.parametrize(
    ("status", "state", "says"),
    [
        ({"ready": False}, "wait", "is starting: run doctor again in a minute"),
        ({"state": BACK_OFF, "last_state": CRASHED}, "wrong", "exit code 255 and is restarting"),
        (
            {"last_state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}},
            "wrong",
            "raise memoryRequestGib",
        ),
        (
            {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}},
            "wrong",
            "cannot pull its image (no such tag): check imageDigest",
        ),
        (
            {"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "no key"}}},
            "wrong",
            "does not start (CreateContainerConfigError: no key): `kubectl describe pod",
        ),
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, "wait", "is starting"),
        (
            {"ready": True, "web": {"ready": False}},
            "wait",
            "has loaded the model, its web service is not ready",
        ),
        (
            {"ready": True, "web": {"ready": False, "lastState": ENDED, "state": BACK_OFF}},
            "wrong",
            "'s web service ended with exit code 2 and is restarting: see the check `log`",
        ),
        (
            {"web": {"state": {"waiting": {"reason": "ErrImagePull", "message": "denied"}}}},
            "wrong",
            "'s web service cannot pull its image (denied): check webImage; if that is empty",
        ),
        (
            {"ready": True, "web": {"ready": False, "lastState": OUT_OF_MEMORY}},
            "wrong",
            "'s web service ran out of memory: send fewer requests at once",
        ),
        ({"ready": True, "restarts": 2}, "ok", "has loaded the model after 2 restarts"),
    ],
)
def test_the_state_of_a_pod_is_reported(
    run: CommandLine, tools: StubTools, status: dict[str, object], state: str, says: str
) -> None:
    pod = stub_tools.pod(**{"ready": False, **status})  # type: ignore[arg-type]
    tools.answer("kubectl", WORKLOAD, stub_tools.workload(pod))
    ran = run("doctor", "--stack", "dev")
    found, message = one(ran, "pods")
    assert (found, ran.code) == (state, {"ok": 0, "wait": 5, "wrong": 4}[state])
    assert message.startswith((f"{POD} ", f"{POD}'s web service "))
    assert says in message


def test_no_pods_at_all_is_wrong(run: CommandLine, tools: StubTools) -> None:
    tools.answer("kubectl", WORKLOAD, stub_tools.workload())
    state, message = one(run("doctor", "--stack", "dev"), "pods")
    assert state == "wrong"
    assert "`make up STACK=dev`" in message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "Error executing an HTTP request: HTTP response code 403 with body '{",
            "grant access with `make up STACK=dev`; the server then starts again by itself",
        ),
        ("Anonymous caller does not have storage.objects.get access", "cannot read the bucket"),
        ("FileSystemStoragePathSource encountered a filesystem access error: Could not find "
         "base path gs://b/models/x for servable stable-diffusion",
         "see the checks `bucket` and `files`"),
        ("start: the server found no model, as logged above; ending the container to look again",
         "see the checks `bucket` and `files`"),
        ("libcurl code 6 meaning 'Couldn't resolve host name'", "cluster's DNS"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "ran out of memory"),
        ("Failed to start server. Error: Unknown: 1 servable(s) did not become", "failed to load"),
    ],
)  # fmt: skip
def test_after_a_crash_the_previous_runs_log_is_shown_and_explained(
    run: CommandLine, tools: StubTools, line: str, says: str
) -> None:
    pod = stub_tools.pod(ready=False, state=BACK_OFF, last_state=CRASHED)
    tools.answer("kubectl", WORKLOAD, stub_tools.workload(pod))
    tools.answer("kubectl", "logs", f"first\n{line}\n")
    ran = run("doctor", "--stack", "dev")
    state, message = one(ran, "log")
    assert state == "wrong"
    assert says in message
    assert f"  | {line}" in ran.out
    assert any("kubectl logs" in asked and "--previous" in asked for asked in tools.asked)


def test_control_codes_in_a_log_are_escaped(run: CommandLine, tools: StubTools) -> None:
    tools.answer("kubectl", "logs", "red \x1b[31m end\n")
    ran = run("doctor", "--stack", "dev")
    assert "\x1b" not in ran.out
    assert "| red \\x1b[31m end" in ran.out


def test_a_quota_too_small_for_another_node_is_reported(run: CommandLine, tools: StubTools) -> None:
    region = stub_tools.quotas(N2_CPUS=(6.0, 4.0), SSD_TOTAL_GB=(150.0, 100.0))
    tools.answer("gcloud", "compute regions describe us-central1", region)
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 4
    states = {message.partition(":")[0]: state for state, message in findings(ran, "quota")}
    assert states == {"N2_CPUS": "wrong", "CPUS_ALL_REGIONS": "ok", "SSD_TOTAL_GB": "wrong"}
    assert (
        "N2_CPUS: 4 of 6 used, 4 more needed to reach maxNodes: request more in the console"
        in ran.out
    )


def test_spot_nodes_count_against_the_preemptible_cpu_quota_if_there_is_one(
    run: CommandLine, tools: StubTools
) -> None:
    tools.answer("gcloud", "container node-pools list", stub_tools.node_pools(spot=True))
    region = stub_tools.quotas(
        N2_CPUS=(0.0, 0.0), PREEMPTIBLE_CPUS=(8.0, 4.0), SSD_TOTAL_GB=(500.0, 100.0)
    )
    tools.answer("gcloud", "compute regions describe us-central1", region)
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 0, ran.out
    assert "PREEMPTIBLE_CPUS: 4 of 8 used" in ran.out


def test_a_quota_that_gcloud_does_not_list_is_unknown(run: CommandLine, tools: StubTools) -> None:
    tools.answer("gcloud", "compute regions describe us-central1", stub_tools.quotas())
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 4
    assert ("unknown", "gcloud lists no quota N2_CPUS: check that 4 are free in the console "
            "(IAM & Admin, Quotas)") in findings(ran, "quota")  # fmt: skip


def test_a_pool_that_cannot_grow_needs_no_quota(run: CommandLine, tools: StubTools) -> None:
    tools.answer("gcloud", "container node-pools list", stub_tools.node_pools(most=1))
    state, message = one(run("doctor", "--stack", "dev"), "quota")
    assert (state, message) == ("ok", "the node pool is at its maximum size")


def test_a_user_who_is_not_logged_in_is_told_how_to(run: CommandLine, tools: StubTools) -> None:
    complaint = (
        "WARNING: see the docs\n"
        "ERROR: (gcloud.x) You do not currently have an active account selected.\n"
        "Please run:\n\n  $ gcloud auth login\n"
    )
    for beginning in (
        "storage buckets get-iam-policy",
        "storage objects describe",
        "container clusters get-credentials",
        "container node-pools list",
        "compute regions describe us-central1",
        "compute project-info describe",
    ):
        tools.fails("gcloud", beginning, complaint)
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 4
    assert one(ran, "bucket")[0] == one(ran, "files")[0] == "unknown"
    for check in ("bucket", "files", "cluster", "quota"):
        assert "(gcloud.x) You do not currently have an active account" in one(ran, check)[1]
        assert "WARNING" not in one(ran, check)[1]
        assert "`gcloud auth login`" in one(ran, check)[1]
    assert findings(ran, "pods") == []


@pytest.mark.parametrize("text", ["", "not json", "[]", "7", '{"items": 3, "bindings": "x"}'])
def test_unexpected_tool_output_gives_findings_and_no_traceback(
    run: CommandLine, tools: StubTools, text: str
) -> None:
    for tool, beginning in (
        ("gcloud", "storage buckets get-iam-policy"),
        ("gcloud", "container node-pools list"),
        ("gcloud", "compute regions describe us-central1"),
        ("kubectl", WORKLOAD),
        ("kubectl", "get nodes"),
    ):
        tools.answer(tool, beginning, text)
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 4
    assert ran.err == ""
    for check in ("bucket", "pods", "quota"):
        states = {state for state, _ in findings(ran, check)}
        assert states and states <= {"wrong", "unknown"}, check


def test_an_unreachable_service_points_at_allowed_source_ranges(
    run: CommandLine, tools: StubTools, free_port: int
) -> None:
    state = stub_tools.made_up_to("Service", f"http://127.0.0.1:{free_port}")
    tools.answer("pulumi", "stack export --stack dev", stub_tools.export(state))
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 4
    state, message = one(ran, "service")
    assert state == "wrong"
    assert "allowedSourceRanges" in message


def test_a_loading_service_is_wait(run: CommandLine, tools: StubTools, server: FakeServing) -> None:
    server.state = "LOADING"
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 5
    assert one(ran, "service")[0] == "wait"


def test_a_stack_that_was_not_deployed_is_one_finding(run: CommandLine, tools: StubTools) -> None:
    complaint = "error: no stack named 'dev' found"
    tools.fails("pulumi", "stack output --json --stack dev", complaint)
    tools.fails("pulumi", "stack export --stack dev", complaint)
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 4
    assert len(ran.out.splitlines()) == 1
    assert "deploy it with `make up STACK=dev`" in one(ran, "stack")[1]


def test_the_embedded_engine_is_no_use_to_diagnose_a_cluster(
    run: CommandLine, tools: StubTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE", "embedded")
    ran = run("doctor", "--stack", "mine")
    assert ran.code == 4
    assert len(ran.out.splitlines()) == 1
    assert "the state of stack mine needs the Pulumi CLI" in one(ran, "stack")[1]


def test_the_cluster_is_read_from_the_command_that_the_stack_exports() -> None:
    command = kubeconfig_command("diffusion-1a2b3c4", "us-central1", "my-project-1")
    cluster = cluster_of(command)
    assert cluster == ClusterName("my-project-1", "us-central1", "diffusion-1a2b3c4")
    assert cluster is not None and cluster.region == "us-central1"
    assert ClusterName("p", "us-central1-c", "c").region == "us-central1"
    for wrong in ("", "rm -rf /", "gcloud container clusters get-credentials", "'", f"x {command}"):
        assert cluster_of(wrong) is None


def test_its_names_are_those_of_the_program() -> None:
    assert discovery.NAMESPACE == NAMESPACE
    assert doctor_cluster.SERVICE_ACCOUNT == SERVICE_ACCOUNT
    assert doctor_cluster.READER_ROLE == READER_ROLE
    run = run_of("dev")
    assert container(run)["name"] == pods.SERVER
    assert container(run, WEB)["name"] == pods.WEB
    (secret,) = run.of("kubernetes:core/v1:Secret")
    assert secret.inputs["metadata"]["name"] == KEYS_SECRET
    assert list(secret.inputs["data"]) == [keys.FILE]
    assert [one["name"] for one in pod_spec(run)["initContainers"]] == [pods.WAIT_FOR_MODEL]
    assert "MODEL_PATH" in {variable["name"] for variable in container(run)["env"]}
    name, _, values = cluster.PODS.partition(" in ")
    assert values == f"({NAME}, {FRONT}, {WORKER})"
    template = run.one("Deployment").inputs["spec"]["template"]
    listed = (run.one("Deployment").inputs, run.one("ConfigMap").inputs, template)
    assert {one["metadata"]["labels"][name] for one in listed} == {NAME}


def test_its_types_are_those_of_the_program() -> None:
    types = {resource.type for resource in run_of("dev").resources}
    of_gke = (state.CLUSTER, state.NODE_POOL, state.BUCKET, state.MODEL_EXPORT)
    assert {*of_gke, state.DEPLOYMENT, state.SERVICE} <= types
    assert set(last_update.LISTED_BY) <= types | {"gcp:compute/address:Address"}
    assert state.LOCAL_SERVER in {resource.type for resource in run_of("local").resources}


def test_the_docs_have_a_row_for_each_check() -> None:
    documented = re.findall(
        r"^\| (\w+) \| ", (PROJECT_ROOT / "docs" / "gke.md").read_text(), re.MULTILINE
    )
    sources = "".join(path.read_text() for path in (PROJECT_ROOT / "client/doctor").glob("*.py"))
    of_this_machine = {"server", "port"}
    checks = set(re.findall(r'Finding\(\s*"(\w+)"', sources)) - of_this_machine
    assert set(documented) >= checks and len(checks) == 13


def test_the_help_has_an_example(run: CommandLine) -> None:
    ran = run("doctor", "--help")
    assert ran.code == 0
    assert "python -m client doctor --stack dev" in ran.out
