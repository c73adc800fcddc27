"""`doctor` reads Knative's own conditions: of its installation, its Service and its revisions."""

from __future__ import annotations

import pytest

from client.doctor import knative
from client.doctor.deployed import deployed
from client.doctor.finding import State
from client.stacks.state import KNATIVE_SERVING, StackState, _resource
from infra.gke.knative import configuration
from infra.settings.knative import WORKERS
from tests.client import stub_tools
from tests.client.commands import CommandLine
from tests.client.doctor.findings import findings, one
from tests.client.stub_tools import StubTools
from tests.knative.objects import SERVICE, SERVING
from tests.stacks import run_of

NEWEST, EARLIER = (
    "diffusion-0123456789abcdef-01234567",
    "diffusion-0123456789abcdef-89abcdef",
)
INSTALLED = "get knativeservings.operator.knative.dev knative-serving -n knative-serving"
MAKE_UP = "make up STACK=dev"
RUN = f"get {knative.KINDS} -n diffusion-serving"


def condition(status: str, reason: str = "", message: str = "", type_: str = "Ready") -> object:
    found = {"type": type_, "status": status, "reason": reason, "message": message}
    return {key: value for key, value in found.items() if value}


READY = condition("True")


def installation(*conditions: object) -> object:
    return {
        "kind": "KnativeServing",
        "status": {"version": "1.23.0", "conditions": list(conditions)},
    }


def revision(name: str, *conditions: object) -> object:
    return {
        "kind": "Revision",
        "metadata": {"name": name},
        "status": {"conditions": list(conditions)},
    }


def service(*conditions: object, traffic: tuple[str, ...] = (), seen: int = 3) -> object:
    status = {
        "observedGeneration": seen,
        "conditions": list(conditions),
        "latestCreatedRevisionName": NEWEST,
        "traffic": [{"revisionName": name, "percent": 50} for name in traffic],
    }
    return {"kind": "Service", "metadata": {"name": WORKERS, "generation": 3}, "status": status}


@pytest.fixture
def with_knative(tools: StubTools) -> StubTools:
    """A stack whose workers Knative runs, where all is well."""
    made = [*stub_tools.made_up_to("Deployment"), stub_tools.kubernetes(KNATIVE_SERVING)]
    tools.answer("pulumi", "stack export --stack dev", stub_tools.export(made))
    tools.answer("kubectl", INSTALLED, installation(READY))
    runs(tools, service(READY), revision(NEWEST, READY))
    return tools


def runs(tools: StubTools, *objects: object) -> None:
    tools.answer("kubectl", RUN, stub_tools.items(*objects))


def test_where_all_is_well_each_object_is_a_line(run: CommandLine, with_knative: StubTools) -> None:
    idle = condition("False", "NoTraffic", "The target is not receiving traffic.", "Active")
    runs(with_knative, service(READY), revision(NEWEST, idle, READY))
    assert findings(run("doctor", "--stack", "dev"), "knative") == [
        ("ok", "Knative 1.23.0 is installed"),
        ("ok", f"revision {NEWEST} is ready, and has no worker while nobody asks"),
        ("ok", "Service diffusion is ready"),
    ]


@pytest.mark.parametrize(
    ("conditions", "found", "says", "remedy"),
    [
        ([], "wait", "its operator has not begun", "`kubectl get pods -n knative-operator` shows"),
        (
            [condition("False", "NotReady", "Waiting on deployments: activator, webhook")],
            "wait",
            "Knative is starting (NotReady: Waiting on deployments: activator, webhook)",
            "`kubectl get pods -n knative-serving` shows what keeps them, such as no room on the",
        ),
        (
            [condition("False", "Installing", "Dependency installing: kourier")],
            "wait",
            "Knative is being installed (Installing: Dependency installing: kourier)",
            "run doctor again in a minute",
        ),
        ([condition("Unknown")], "wait", "Knative is being installed", "run doctor again"),
        (
            [condition("False", "Error", "Install failed with message: no such version")],
            "wrong",
            "Knative cannot be installed (Error: Install failed with message: no such version)",
            "mend what it says, and `make up STACK=dev` waits for the operator's next try",
        ),
    ],
)
def test_knative_that_is_not_installed_says_why_and_nothing_is_asked_of_its_workers(
    run: CommandLine,
    with_knative: StubTools,
    conditions: list[object],
    found: str,
    says: str,
    remedy: str,
) -> None:
    with_knative.answer("kubectl", INSTALLED, installation(*conditions))
    status, message = one(run("doctor", "--stack", "dev"), "knative")
    assert (status, message.startswith(says), remedy in message) == (found, True, True), message
    assert not any(RUN in line for line in with_knative.asked)


@pytest.mark.parametrize(
    ("reason", "message", "remedy"),
    [
        ("ContainerMissing", 'Unable to fetch image "web": 403', "check imageDigest and webImage"),
        ("ErrImagePull", "rpc error: code = NotFound", "check imageDigest and webImage"),
        ("ImagePullBackOff", "Back-off pulling image", "the nodes reach the registry through NAT"),
        ("Unschedulable", "0/1 nodes are available", "see the check `quota`; raise maxNodes"),
        ("FailedCreate", "pods is forbidden: exceeded quota", "does not let its pods start"),
        ("ProgressDeadlineExceeded", "Initial scale was never achieved", "was ready in time"),
        ("ExitCode1", "Container failed with: no model", "see the checks `pods` and `log`"),
        ("SomethingElse", "", "see the checks `pods` and `log`"),
    ],
)
def test_a_revision_that_failed_says_why_what_to_mend_and_how_it_is_made_again(
    reason: str, message: str, remedy: str
) -> None:
    failed = revision(NEWEST, condition("False", reason, message))
    found, _ = knative.worker_findings([service(READY), failed], MAKE_UP)
    why = f"{reason}: {message}" if message else reason
    assert found.message.startswith(f"revision {NEWEST} failed ({why}): "), found.message
    assert remedy in found.message, found.message
    delete = f"kubectl delete revisions.serving.knative.dev -n diffusion-serving {NEWEST}"
    assert found.message.endswith(f"; then `{delete}`, and `{MAKE_UP}`")
    assert found.state is State.WRONG


@pytest.mark.parametrize(
    ("status", "state", "code"), [("Unknown", "wait", 5), ("False", "wrong", 4)]
)
def test_doctor_ends_as_the_newest_revision_does(
    run: CommandLine, with_knative: StubTools, status: str, state: str, code: int
) -> None:
    runs(with_knative, service(READY), revision(NEWEST, condition(status, "Deploying")))
    ran = run("doctor", "--stack", "dev")
    assert (findings(ran, "knative")[1][0], ran.code) == (state, code)


def test_a_revision_that_starts_is_waited_for() -> None:
    starting = revision(NEWEST, condition("Unknown", "Deploying"))
    found, _ = knative.worker_findings([service(READY), starting], MAKE_UP)
    assert found.message.startswith(f"revision {NEWEST} is starting (Deploying): ")
    assert found.state is State.WAIT


def test_a_worker_that_could_not_be_woken_is_found_though_its_revision_is_ready() -> None:
    late = condition("False", "TimedOut", "The target could not be activated.", "Active")
    found, _ = knative.worker_findings([service(READY), revision(NEWEST, late, READY)], MAKE_UP)
    assert "could not start a worker (TimedOut: The target could" in found.message
    assert found.state is State.WRONG


def test_an_earlier_revision_counts_if_it_gets_requests_and_is_never_to_be_deleted() -> None:
    failed, newest = revision(EARLIER, condition("False", "ExitCode1")), revision(NEWEST, READY)
    found = list(knative.worker_findings([service(READY), failed, newest], MAKE_UP))
    assert not any(EARLIER in one.message for one in found)
    both = service(READY, traffic=(NEWEST, EARLIER))
    first, earlier, _ = knative.worker_findings([both, failed, newest], MAKE_UP)
    assert (first.state, first.message) == (State.OK, f"revision {NEWEST} is ready")
    assert earlier.message.startswith(f"revision {EARLIER} failed ")
    assert "delete" not in earlier.message


@pytest.mark.parametrize(
    ("status", "reason", "state", "remedy"),
    [
        ("Unknown", "IngressNotConfigured", State.WAIT, "whether Kourier and its controller run"),
        ("Unknown", "Uninitialized", State.WAIT, "whether Kourier and its controller run"),
        ("False", "RevisionMissing", State.WRONG, "if stableRevision names none that is there"),
        ("False", "RevisionFailed", State.WRONG, "see its revision"),
        ("False", "RevisionNameTaken", State.WRONG, "change a setting"),
        ("False", "NotOwned", State.WRONG, "delete that"),
        (
            "False",
            "SomethingElse",
            State.WRONG,
            "`kubectl describe services.serving.knative.dev",
        ),
        ("Unknown", "OutOfDate", State.WAIT, "`kubectl describe services.serving.knative.dev"),
    ],
)
def test_a_service_that_is_not_ready_says_why_and_what_to_do(
    status: str, reason: str, state: State, remedy: str
) -> None:
    unready = service(condition(status, reason, "it is so"))
    _, found = knative.worker_findings([unready, revision(NEWEST, READY)], MAKE_UP)
    assert found.message.startswith(f"Service diffusion is not ready ({reason}: it is so): ")
    assert (found.state, remedy in found.message) == (state, True), found.message


def test_what_knative_said_before_the_latest_change_does_not_count() -> None:
    (found,) = knative.worker_findings([service(READY, seen=2)], MAKE_UP)
    assert found.state is State.WAIT
    assert "has not looked at the latest change" in found.message


def test_without_the_service_make_up_is_named(run: CommandLine, with_knative: StubTools) -> None:
    runs(with_knative)
    assert findings(run("doctor", "--stack", "dev"), "knative")[1] == (
        "wrong",
        "Knative has no Service diffusion, so that there are no workers: `make up STACK=dev` "
        "makes it",
    )


@pytest.mark.parametrize(
    "error",
    [
        'error: the server doesn\'t have a resource type "knativeservings"',
        "Error from server (NotFound): knativeservings.operator.knative.dev not found",
    ],
)
def test_a_cluster_without_knative_is_told_how_it_is_installed(
    run: CommandLine, with_knative: StubTools, error: str
) -> None:
    with_knative.fails("kubectl", INSTALLED, error)
    found, said = one(run("doctor", "--stack", "dev"), "knative")
    assert (found, said.endswith("`make up STACK=dev` installs it")) == ("wrong", True), said


def test_what_may_not_be_read_is_unknown(run: CommandLine, with_knative: StubTools) -> None:
    with_knative.fails("kubectl", RUN, "Error from server (Forbidden): revisions is forbidden")
    ran = run("doctor", "--stack", "dev")
    found, said = findings(ran, "knative")[1]
    assert (found, "Forbidden" in said, "`gcloud auth login`" in said) == ("unknown", True, True)


@pytest.mark.parametrize("odd", [[], "text", {"status": []}, {"status": {"conditions": "no"}}])
def test_odd_answers_are_lines_too(run: CommandLine, with_knative: StubTools, odd: object) -> None:
    named = {"kind": "Revision", "metadata": {"name": NEWEST}}
    runs(with_knative, service(odd), odd, {**named, **odd} if isinstance(odd, dict) else odd)
    ran = run("doctor", "--stack", "dev")
    assert ran.code == 5 and ran.err == ""
    with_knative.answer("kubectl", INSTALLED, odd if odd != "text" else '"text"')
    assert one(run("doctor", "--stack", "dev"), "knative")[0] == "wait"


def test_a_deployments_stack_is_not_asked_of_knative(run: CommandLine, tools: StubTools) -> None:
    assert findings(run("doctor", "--stack", "dev"), "knative") == []
    assert not any("knative" in line for line in tools.asked)


def test_what_is_asked_for_is_what_the_program_makes() -> None:
    made = run_of("knative")
    assert made.one(SERVING).type == KNATIVE_SERVING == SERVING
    metadata = made.one(SERVING).inputs["metadata"]
    assert (knative.INSTALLATION[1], knative.SYSTEM_NAMESPACE) == (
        metadata["name"],
        metadata["namespace"],
    )
    assert knative.SYSTEM_NAMESPACE == configuration.NAMESPACE
    assert made.one(SERVICE, WORKERS).inputs["metadata"]["name"] == knative.WORKERS
    (operator,) = made.of("kubernetes:helm.sh/v3:Release")
    assert f"-n {operator.inputs['namespace']}`" in knative._OPERATOR_PODS


def test_a_stack_has_knative_once_its_state_does() -> None:
    resource = _resource(stub_tools.kubernetes(KNATIVE_SERVING))
    assert deployed(StackState((resource,)), None).has_knative
    assert not deployed(StackState(), None).has_knative
