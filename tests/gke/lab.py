"""A laboratory for the stack `dev`: the official engine, the real Kubernetes provider and control
plane, and stand-ins for Google Cloud, Cloud Storage, nodes and load balancers.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from container_image.publish import CACHE
from container_image.settings import LOCK
from container_image.sources import ROOT
from container_image.wheels import wheels
from infra.settings.keys import API_KEYS, PLACEHOLDER
from render.recorder import stack_config
from tests.deploy.checkout import Checkout, copy_checkout
from tests.gke.artifact_registry import BASE, ArtifactRegistry, artifact_registry
from tests.gke.cloud_storage import CloudStorage
from tests.gke.cluster_contents import ClusterContents
from tests.gke.control_plane import BINARIES, ControlPlane, missing_binaries
from tests.gke.gateways import Gateways
from tests.gke.gcp_plugin import API_SERVER_FILE, OBJECTS_FILE
from tests.gke.google_cloud import GoogleCloud
from tests.gke.load_balancers import LoadBalancers
from tests.gke.looping import looping
from tests.gke.machine import environment
from tests.gke.nodes import Nodes
from tests.google_credentials import token_server
from tests.model_export.fake_gcs import serving
from tests.processes import wait_until
from tests.web.keys import ALICE

STACK = "dev"
PROJECT = "lab-project"
NAMESPACE = "diffusion-serving"
MISSING = missing_binaries(
    [
        *("pulumi", "pulumi-language-python", "pulumi-resource-kubernetes", "docker-registry"),
        *BINARIES,
    ]
)
PYTHON = "{}.{}".format(*sys.version_info)
"""Of the image, whose packages then run in a test's own Python."""
SETTINGS = {
    "gcp:project": PROJECT,
    "diffusion-serving:modelFamily": "demo",
    "diffusion-serving:requestTimeoutSeconds": 60,
    "diffusion-serving:webImageBase": BASE,
    "diffusion-serving:webPython": PYTHON,
}
PUBLIC = {"allowPlainHttp": True, "allowedSourceRanges": "203.0.113.7/32"}
"""Settings that give the web service a load balancer."""
COMMAND_SECONDS = 240.0


@dataclass
class Lab:
    """One stack `dev` in a checkout of its own."""

    checkout: Checkout
    google: GoogleCloud
    storage: CloudStorage
    registry: ArtifactRegistry
    nodes: Nodes
    kubernetes: httpx.Client
    environment: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each step took, by its name."""

    def set(self, **settings: object) -> None:
        """Change settings of the stack's file, and publish the model that they ask for."""
        file = self.checkout.folder / f"Pulumi.{STACK}.yaml"
        content: dict[str, Any] = yaml.safe_load(file.read_text())
        content["config"] |= {f"diffusion-serving:{key}": to for key, to in settings.items()}
        file.write_text(yaml.safe_dump(content))
        texts = {key: _text(value) for key, value in content["config"].items()}
        keys = {f"diffusion-serving:{API_KEYS}": PLACEHOLDER}  # those in the file are encrypted
        self.storage.publish({**stack_config(STACK), **texts, **keys})

    def set_key(self, name: str, key: str) -> None:
        """Give somebody this key in place of an earlier one."""
        self.pulumi("config", "set", "--secret", "--path", f"{API_KEYS}.{name}", key, step="key")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`pulumi …` on the stack."""
        options = ("--stack", STACK, "--non-interactive", "--color", "never")
        return self._started("pulumi", *arguments, *options)

    def pulumi(self, *arguments: str, code: int = 0, step: str = "") -> str:
        """The output of `pulumi …`; fails the test unless it exits with `code` (1: any error)."""
        return self._timed(self.start(*arguments), code, step or " ".join(arguments))

    def make(self, target: str, code: int = 0) -> str:
        """The output of `make … STACK=dev`, likewise."""
        process = self._started("make", target, f"STACK={STACK}", "ENGINE=pulumi")
        return self._timed(process, code, f"make {target}")

    def _started(self, *command: str) -> subprocess.Popen[str]:
        """A command in its own process group."""
        return subprocess.Popen(
            command,
            cwd=self.checkout.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _timed(self, process: subprocess.Popen[str], code: int, step: str) -> str:
        began = time.monotonic()
        output, returned = self.finish(process)
        self.seconds[step] = round(time.monotonic() - began, 1)
        assert (returned == 0) == (code == 0), output
        return output

    def finish(self, process: subprocess.Popen[str]) -> tuple[str, int]:
        try:
            output, _ = process.communicate(timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            raise AssertionError(f"not finished in {COMMAND_SECONDS:.0f} s:\n{output}") from None
        return output, process.returncode

    def up(self, *, code: int = 0, step: str = "up") -> str:
        """As `make up STACK=dev` deploys."""
        return self.pulumi("up", "--yes", "--refresh", code=code, step=step)

    def down(self, *, code: int = 0, step: str = "down") -> str:
        """As `make down STACK=dev` destroys."""
        return self.pulumi("destroy", "--yes", "--refresh", code=code, step=step)

    def interrupt(self, process: subprocess.Popen[str], step: str) -> str:
        """Ctrl-C: once, to every process of the terminal."""
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        output, code = self.finish(process)
        self.seconds[step] = round(time.monotonic() - began, 1)
        assert code != 0, output
        return output

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill the CLI alone, and remove its lock; its plugins finish what they do."""
        process.kill()
        process.wait()
        self.pulumi("cancel", "--yes", step="cancel")

    def wait_for_call(self, line: str) -> None:
        wait_until(lambda: any(c.startswith(line) for c in self.google.calls()), line, 120)

    def wait_for_rest(self, seconds: float = 3) -> None:
        """Until Google was asked for nothing more in so many seconds, and the state knows it."""
        calls = -1
        while (found := len(self.google.calls())) != calls:
            calls = found
            time.sleep(seconds)

    def get(self, path: str) -> list[dict[str, Any]]:
        """Objects of the namespace, such as apps/v1/deployments or v1/services."""
        group, _, plural = path.rpartition("/")
        root = "api" if "/" not in group else "apis"
        answer = self.kubernetes.get(f"/{root}/{group}/namespaces/{NAMESPACE}/{plural}")
        return list(answer.raise_for_status().json()["items"])

    def is_empty(self) -> bool:
        """Whether the cluster has no namespace of ours."""
        return self.kubernetes.get(f"/api/v1/namespaces/{NAMESPACE}").status_code == 404

    def ready_pods(self) -> list[dict[str, Any]]:
        return [
            pod
            for pod in self.get("v1/pods")
            for condition in pod.get("status", {}).get("conditions", [])
            if condition["type"] == "Ready" and condition["status"] == "True"
        ]

    def state(self, *options: str) -> dict[str, Any]:
        """The stack's state: resources and pending operations."""
        exported = self.pulumi("stack", "export", *options, step="export")
        return json.loads(exported)["deployment"]


@contextlib.contextmanager
def lab(folder: Path, plane: ControlPlane) -> Generator[Lab]:
    google = GoogleCloud(folder / "google")
    google.folder.mkdir(parents=True)
    (google.folder / API_SERVER_FILE).write_text(plane.address)
    checkout = copy_checkout(folder / "checkout", "pulumi")
    _give_wheels(checkout.folder)
    storage = CloudStorage(google)
    with (
        serving(storage),
        artifact_registry(folder / "registry", google, plane.certificate, plane.key) as registry,
        plane.client() as client,
        token_server() as tokens,
    ):
        (google.folder / OBJECTS_FILE).write_text(storage.url)
        given = environment(folder, plane, google, storage.url, registry, tokens.key())
        nodes, contents = Nodes(google, registry, client), ClusterContents(google, client)
        balancers = LoadBalancers(google, client, "127.0.0.1")
        gateways = Gateways(google, client)
        found = Lab(checkout, google, storage, registry, nodes, client, given)
        _write_settings(found)
        with looping(nodes.step, balancers.step, gateways.step, contents.step):
            found.pulumi("stack", "init", step="init")
            found.set_key("alice", ALICE)
            try:
                yield found
            finally:
                # A killed CLI's plugins do not end by themselves.
                for process in checkout.processes():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
                        process.wait(10)
                contents.remove()
                wait_until(lambda: contents.namespaces() == [], "an empty API server")


def _give_wheels(checkout: Path) -> None:
    """The packages of the image, which this checkout keeps from one test run to the next."""
    wheels(ROOT / LOCK, PYTHON, CACHE, threading.Event(), print)
    cache = checkout / CACHE.relative_to(ROOT)
    cache.mkdir(parents=True)
    name = f"wheels-{PYTHON}"
    (cache / name).symlink_to(CACHE / name)


def _write_settings(lab: Lab) -> None:
    file = lab.checkout.folder / f"Pulumi.{STACK}.yaml"
    content: dict[str, Any] = yaml.safe_load(file.read_text())
    content["config"] |= SETTINGS
    file.write_text(yaml.safe_dump(content))
    lab.set()


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
