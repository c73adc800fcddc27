"""The official engine brings Knative and its Service up on a real API server, and down in order.

Runs wherever the CLI, the Kubernetes provider and a control plane are on PATH, and KNATIVE_CRDS
names a folder with Knative's custom resource definitions. Knative, its operator and the kubelet are
stand-ins; so is the operator's chart.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import io
import json
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from infra.gke.knative.versions import KNATIVE
from render.recorder import PROJECT, stack_config
from tests.gke.control_plane import BINARIES, ControlPlane, control_plane
from tests.gke.looping import looping
from tests.knative.standin import KnativeStandIn
from tests.official_cli import cli_environment, write_program
from tests.processes import wait_until

CRDS = os.environ.get("KNATIVE_CRDS", "")
PROGRAMS = ("pulumi", "pulumi-language-python", "pulumi-resource-kubernetes", *BINARIES)
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(MISSING), reason=f"not on PATH: {', '.join(MISSING)}"),
    pytest.mark.skipif(not CRDS, reason="KNATIVE_CRDS names no folder of definitions"),
]

COMMAND_SECONDS = 300
PROGRAM = """
import json
import os

import pulumi
import pulumi_kubernetes as kubernetes

from infra.gke.knative import installation
from infra.settings import stack
from serving.containers.server_config import ModelSource
from serving.knative.service import KnativeModelService, KnativeModelServiceArgs

installation.CHART_REPOSITORY = os.environ["LAB_CHARTS"]
given = json.loads(os.environ["LAB_SETTINGS"])


class Cluster(pulumi.ComponentResource):
    def __init__(self) -> None:
        super().__init__("lab:index:Cluster", "cluster")


cluster = Cluster()
provider = kubernetes.Provider(
    "lab", kubeconfig=os.environ["LAB_KUBECONFIG"], enable_server_side_apply=True
)
if given["mode"] == "knative":
    settings = stack.parse(given, "lab-project")
    opts = pulumi.ResourceOptions(providers=[provider])
    knative = installation.Knative(
        "knative",
        installation.KnativeArgs(
            cluster=cluster,
            cluster_version=pulumi.Output.from_input("1.34.1"),
            most_workers=settings.gke.pod.max_replicas,
            progress_seconds=600,
            domain=None,
            after=[],
        ),
        opts,
    )
    service = KnativeModelService(
        "diffusion",
        KnativeModelServiceArgs(
            settings=settings.gke,
            knative_settings=settings.gke.knative,
            budget=settings.time_budget,
            queue=1,
            model=ModelSource(
                uri="gs://lab/models/0123456789abcdef", size_bytes=1, access="fuse", bucket="lab"
            ),
            fingerprint="0123456789abcdef",
            description="{}",
            web_image="registry.example/web:1.0",
            cluster=cluster,
            kubeconfig=os.environ["LAB_KUBECONFIG"],
            address=None,
            frontend=None,
            worker_address=None,
            knative=knative.serving,
            after=[],
        ),
        opts,
    )
    pulumi.export("revision", service.revision)
"""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Generator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("kubernetes") / "plane") as running:
        with running.client() as client:
            for definition in definitions():
                path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
                client.post(path, json=definition).raise_for_status()
        yield running


def definitions() -> list[dict[str, Any]]:
    """Of the two kinds that the program registers, without the webhook that converts them."""
    found: list[dict[str, Any]] = []
    for path in sorted(Path(CRDS).rglob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if one and one["spec"]["names"]["kind"] in ("Service", "KnativeServing"):
                one["spec"].pop("conversion", None)
                found.append(one)
    return found


@contextlib.contextmanager
def charts(folder: Path) -> Generator[str]:
    """A repository with a chart of the operator's name, which only says that it is there."""
    name, version = "knative-operator", f"v{KNATIVE}"
    folder.mkdir()
    file = f"{name}-{version}.tgz"
    texts = {
        "Chart.yaml": {"apiVersion": "v1", "name": name, "version": version},
        "templates/operator.yaml": {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name},
        },
    }
    with tarfile.open(folder / file, "w:gz") as archive:
        for path, content in texts.items():
            text = yaml.safe_dump(content).encode()
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    entry = {"apiVersion": "v1", "name": name, "version": version, "urls": [file]}
    index = {"apiVersion": "v1", "entries": {name: [entry]}}
    (folder / "index.yaml").write_text(yaml.safe_dump(index))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def kubeconfig(folder: Path, plane: ControlPlane) -> str:
    """With a plugin, as the stack's own has one."""
    plugin = folder / "credential-plugin"
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "kind": "ExecCredential",
        "status": {"token": plane.token},
    }
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(credential)}'\n")
    plugin.chmod(0o755)
    authority = base64.b64encode(plane.ca_file.read_bytes()).decode()
    cluster = {"server": f"https://{plane.address}", "certificate-authority-data": authority}
    user = {
        "exec": {
            "apiVersion": credential["apiVersion"],
            "command": str(plugin),
            "interactiveMode": "Never",
        }
    }
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "users": [{"name": "lab", "user": user}],
        }
    )


class Stack:
    """A stack of the program, with other settings each time."""

    def __init__(self, folder: Path, plane: ControlPlane, repository: str) -> None:
        self._folder = folder
        write_program(folder, "lab", PROGRAM)
        self._environment = cli_environment(folder) | {
            "LAB_CHARTS": repository,
            "LAB_KUBECONFIG": kubeconfig(folder, plane),
            "HELM_CACHE_HOME": str(folder / "helm"),
            "HELM_CONFIG_HOME": str(folder / "helm"),
        }
        self.run("stack", "init", "lab")

    def run(self, *arguments: str, **settings: str) -> str:
        config = {k.removeprefix(f"{PROJECT}:"): v for k, v in stack_config("knative").items()}
        given = {"modelFamily": "demo", "apiKeys": '{"alice": "alices-key:0123456789"}'}
        ran = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self._folder,
            env=self._environment | {"LAB_SETTINGS": json.dumps(config | given | settings)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
        return ran.stdout


def test_everything_comes_up_ready_and_goes_service_first_then_knative_then_operator(
    plane: ControlPlane, tmp_path: Path
) -> None:
    folder = tmp_path / "stack"
    folder.mkdir()
    with charts(tmp_path / "charts") as repository, plane.client() as client:
        standin = KnativeStandIn(client)
        with looping(standin.step):
            stack = Stack(folder, plane, repository)
            stack.run("up", "--yes", "--skip-preview")
            assert service(client)["status"]["conditions"][0]["status"] == "True"
            first = stack.run("stack", "output", "revision").strip()
            assert service(client)["spec"]["template"]["metadata"]["name"] == first
            again = stack.run("up", "--yes", "--skip-preview", "--expect-no-changes")
            assert "unchanged" in again

            shares = {"stableRevision": first, "canaryPercent": "10"}
            stack.run("up", "--yes", "--skip-preview", steps="12", maxReplicas="4", **shares)
            second = stack.run("stack", "output", "revision").strip()
            assert second != first
            assert [one["percent"] for one in service(client)["spec"]["traffic"]] == [10, 90]

            assert standin.ended == []
            stack.run("up", "--yes", "--skip-preview", mode="deployment")
            wait_until(lambda: len(standin.ended) == 3, "the end of all three")
            assert standin.ended == ["Service", "KnativeServing", "operator"]
            stack.run("destroy", "--yes", "--skip-preview", mode="deployment")


def service(client: httpx.Client) -> dict[str, Any]:
    path = "/apis/serving.knative.dev/v1/namespaces/diffusion-serving/services/diffusion"
    return client.get(path).raise_for_status().json()
