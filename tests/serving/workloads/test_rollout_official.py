"""`Rollout` under the official CLI: failures, restored settings, Ctrl-C and kills."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.official_cli import cli_environment, write_program
from tests.processes import is_running, wait_until
from tests.serving.kubernetes_api.api_stub import APPS, DEPLOYMENT, NAMESPACE, ApiStub, api_stub
from tests.serving.workloads.cluster_objects import (
    RUNNING,
    SERVING,
    Cluster,
    container,
    crashed_in_a_minute,
    deployment,
    pod,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("pulumi") is None, reason="the official Pulumi CLI is not on PATH"
    ),
]

PROGRAM = """
import pulumi
from infra.gke.interruption import end_quietly_when_interrupted
from serving.workloads.rollout import Rollout, RolloutArgs

end_quietly_when_interrupted()
config = pulumi.Config()
rollout = Rollout("pods", RolloutArgs(
    kubeconfig=config.require("kubeconfig"),
    namespace="diffusion-serving",
    deployment="model-server",
    uid="deployment-1",
    revision=config.require("revision"),
    deadline_seconds=60,
))
after = pulumi.ResourceOptions(depends_on=[rollout])
pulumi.ComponentResource("test:index:Service", "service", {}, after)
"""
SERVED = Cluster(deployment(available=1), pods=[pod(SERVING)])
STARTING = Cluster(pods=[pod(container(RUNNING))])
UP = ("up", "--yes", "--skip-preview", "--refresh")


@dataclass
class Project:
    folder: Path
    stub: ApiStub
    environment: dict[str, str]

    def show(self, cluster: Cluster) -> None:
        self.stub.objects |= {
            DEPLOYMENT: cluster.deployment,
            f"{APPS}/replicasets": cluster.replica_sets,
            f"{NAMESPACE}/pods": cluster.pods,
            f"{NAMESPACE}/events": cluster.events,
        }

    def start(self, revision: str, *arguments: str) -> subprocess.Popen[str]:
        config = {"rolls:kubeconfig": self.stub.kubeconfig(), "rolls:revision": revision}
        (self.folder / "Pulumi.dev.yaml").write_text(json.dumps({"config": config}))
        self.stub.requests.clear()
        return subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive", "--color=never"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, revision: str, *arguments: str, code: int = 0) -> str:
        process = self.start(revision, *arguments)
        output, _ = process.communicate(timeout=120)
        assert (process.returncode == 0) == (code == 0), output
        return output

    def start_waiting(self, revision: str) -> subprocess.Popen[str]:
        """An update that waits for pods."""
        self.show(STARTING)
        process = self.start(revision, *UP)
        wait_until(lambda: len(self.stub.requests) >= 4, "the wait for the pods", 60)
        return process

    def pending(self, revision: str) -> list[str]:
        state = json.loads(self.run(revision, "stack", "export"))["deployment"]
        return [one["type"] for one in state.get("pending_operations") or []]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A stack whose pods of revision r1 serve."""
    base = tmp_path_factory.mktemp("rollout")
    folder = base / "project"
    folder.mkdir()
    write_program(folder, "rolls", PROGRAM)
    with api_stub(base / "api") as stub:
        found = Project(folder, stub, cli_environment(base))
        found.run("r1", "stack", "init", "dev")
        found.show(SERVED)
        shown = found.run("r1", *UP)
        assert "1 of 1 new pod ready" in shown and "3 created" in shown
        yield found


def test_an_update_without_another_pod_template_asks_nobody(project: Project) -> None:
    assert "3 unchanged" in project.run("r1", *UP)
    assert project.stub.requests == []


def test_an_update_fails_early_in_one_line_and_a_restored_setting_is_waited_for(
    project: Project,
) -> None:
    project.show(Cluster(pods=[pod(crashed_in_a_minute())]))
    shown = project.run("r2", *UP, code=1)
    (line,) = (one for one in shown.splitlines() if one.startswith("    error: the new pods"))
    assert (
        "container model-server ended 3 times (CrashLoopBackOff), the last time with exit code 1"
        in line
    )
    assert "make doctor STACK=dev" in line
    assert "Traceback" not in shown
    assert project.pending("r2") == []

    project.show(SERVED)
    shown = project.run("r1", *UP)
    assert project.stub.requests and "1 of 1 new pod ready" in shown


def test_ctrl_c_ends_the_wait_at_once_and_loses_nothing(project: Project) -> None:
    process = project.start_waiting("r3")
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=20)
    assert process.returncode != 0 and "interrupted: the new pods go on starting" in shown
    assert "Traceback" not in shown
    assert project.pending("r3") == []
    project.show(SERVED)
    assert "1 of 1 new pod ready" in project.run("r3", *UP)


def test_after_a_kill_the_next_update_waits_again(project: Project) -> None:
    process = project.start_waiting("r4")
    children = psutil.Process(process.pid).children(recursive=True)
    (provider,) = (one for one in children if one.cmdline()[1:4] == ["-u", "-m", "pulumi.dynamic"])
    process.kill()
    # It would otherwise ask the API for an hour.
    wait_until(lambda: not is_running(provider.pid), "the provider's end", 20)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    process.communicate(timeout=20)
    project.run("r4", "cancel", "--yes")
    project.show(SERVED)
    assert "1 of 1 new pod ready" in project.run("r3", *UP)
