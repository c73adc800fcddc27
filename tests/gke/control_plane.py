"""A real Kubernetes control plane on loopback: etcd, API server, controllers and scheduler."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import ssl
import subprocess
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.gke.artifact_registry import HOST
from tests.processes import free_ports, wait_until
from tests.serving import gateway_kinds, pod_monitoring_kind

BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
START_SECONDS = 180.0
_CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "disruption-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
)


def missing_binaries(names: Sequence[str] = BINARIES) -> list[str]:
    return [name for name in names if shutil.which(name) is None]


@dataclass(frozen=True)
class ControlPlane:
    """address: host:port of the API server; ca_file: who signed its certificate.

    certificate, key: for the registry, signed by the same.
    """

    address: str
    token: str
    ca_file: Path
    certificate: Path
    key: Path

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=f"https://{self.address}",
            headers={"Authorization": f"Bearer {self.token}"},
            verify=ssl.create_default_context(cafile=str(self.ca_file)),
            timeout=10,
            trust_env=False,
        )


@contextlib.contextmanager
def control_plane(folder: Path) -> Generator[ControlPlane]:
    folder.mkdir(parents=True)
    port, etcd_port, peer_port = free_ports(3)
    etcd_url = f"http://127.0.0.1:{etcd_port}"
    token = secrets.token_hex()
    (folder / "tokens").write_text(f"{token},admin,admin,system:masters\n")
    _certificates(folder)
    files = (folder / name for name in ("ca.pem", "server.pem", "server.key"))
    plane = ControlPlane(f"127.0.0.1:{port}", token, *files)
    kubeconfig = _kubeconfig(folder, plane)
    with contextlib.ExitStack() as running:
        etcd = ["etcd", "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync"]
        etcd += ["--listen-client-urls", etcd_url, "--advertise-client-urls", etcd_url]
        etcd += ["--listen-peer-urls", f"http://127.0.0.1:{peer_port}"]
        running.enter_context(_running(etcd, folder))
        server = running.enter_context(_running(_api_server(folder, port, etcd_url), folder))
        with plane.client() as client:
            wait_until(
                lambda: _is_ready(client, server, folder / "kube-apiserver.log"),
                "the API server",
                START_SECONDS,
            )
            _add_kinds(client)
        common = ["--kubeconfig", str(kubeconfig), "--leader-elect=false", "--secure-port=0"]
        controllers = f"--controllers={','.join(_CONTROLLERS)}"
        running.enter_context(_running(["kube-controller-manager", *common, controllers], folder))
        running.enter_context(_running(["kube-scheduler", *common], folder))
        yield plane


@contextlib.contextmanager
def _running(command: list[str], folder: Path) -> Generator[subprocess.Popen[bytes]]:
    with (folder / f"{command[0]}.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)


def _api_server(folder: Path, port: int, etcd_url: str) -> list[str]:
    return [
        *("kube-apiserver", "--bind-address", "127.0.0.1", "--secure-port", str(port)),
        *("--etcd-servers", etcd_url, "--cert-dir", str(folder / "certificates")),
        *("--tls-cert-file", str(folder / "server.pem")),
        *("--tls-private-key-file", str(folder / "server.key")),
        *("--token-auth-file", str(folder / "tokens"), "--authorization-mode", "RBAC"),
        *("--service-account-issuer", "https://127.0.0.1"),
        *("--service-account-key-file", str(folder / "server.key")),
        *("--service-account-signing-key-file", str(folder / "server.key")),
        *("--service-cluster-ip-range", "10.0.0.0/24"),
        # Its taints are lifted by a controller that also wants the nodes' heartbeats.
        *("--disable-admission-plugins", "TaintNodesByCondition"),
    ]


def _is_ready(client: httpx.Client, server: subprocess.Popen[bytes], log: Path) -> bool:
    assert server.poll() is None, log.read_text()[-2000:]
    try:
        # The default namespace is created last.
        return client.get("/api/v1/namespaces/default").status_code == 200
    except httpx.HTTPError:
        return False


def _add_kinds(client: httpx.Client) -> None:
    """As GKE does it in a cluster with Managed Prometheus and Gateways."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    kinds = {
        gateway_kinds.collection(kind): gateway_kinds.definition(kind)
        for kind in gateway_kinds.SPECS
    }
    kinds[pod_monitoring_kind.COLLECTION] = pod_monitoring_kind.CUSTOM_RESOURCE_DEFINITION
    for definition in kinds.values():
        client.post(path, json=definition).raise_for_status()
    for collection in kinds:
        wait_until(lambda path=collection: client.get(path).status_code == 200, collection)


def _certificates(folder: Path) -> None:
    """A certificate authority, and a certificate for all servers."""
    _openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
             "-subj", "/CN=lab", "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip
    _openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1",
             "-keyout", "server.key", "-out", "server.csr")  # fmt: skip
    (folder / "extensions").write_text(f"subjectAltName=IP:127.0.0.1,DNS:{HOST}\n")
    _openssl(folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
             "-days", "30", "-extfile", "extensions", "-out", "server.pem")  # fmt: skip


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def _kubeconfig(folder: Path, plane: ControlPlane) -> Path:
    cluster = {"server": f"https://{plane.address}", "certificate-authority": str(plane.ca_file)}
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "users": [{"name": "lab", "user": {"token": plane.token}}],
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(content))
    return file
