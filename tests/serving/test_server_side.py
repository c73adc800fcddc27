"""A real Kubernetes API server accepts every manifest in a strict dry run, without warnings.

Runs wherever `kube-apiserver` and `etcd` are on PATH; no node and no controller is needed. The pod
security standard that the namespace asks for is among what the server checks.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from render.manifests import manifest, to_yaml
from tests.processes import free_ports, wait_until
from tests.serving import gateway_kinds, pod_monitoring_kind
from tests.stacks import GKE_STACKS, kubernetes_objects, run_of

START_SECONDS = 120.0
WAYS = {
    "as committed": {},
    "fuse": {"modelAccess": "fuse"},
    "domain": {"domain": "draw.example.com"},
    "plain HTTP": {"allowPlainHttp": "true"},
}
MISSING = [name for name in ("kube-apiserver", "etcd") if shutil.which(name) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not on PATH: {', '.join(MISSING)}"),
]


@dataclass(frozen=True)
class ApiServer:
    """An API server on loopback, and the token of its administrator."""

    url: str
    token: str

    def get(self, path: str) -> Any:
        answer = requests.get(
            self.url + path,
            headers={"Authorization": f"Bearer {self.token}"},
            verify=False,
            timeout=10,
        )
        answer.raise_for_status()
        return answer.json()

    def has(self, path: str) -> bool:
        try:
            return bool(self.get(path))
        except requests.HTTPError:
            return False

    def create(self, document: dict[str, Any], *, dry_run: bool) -> requests.Response:
        """The server's response to a new object; unknown fields are errors."""
        version, kind = document["apiVersion"], document["kind"]
        group = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        (found,) = (
            resource
            for resource in self.get(group)["resources"]
            if resource["kind"] == kind and "/" not in resource["name"]
        )
        namespace = document["metadata"].get("namespace")
        scope = f"/namespaces/{namespace}" if found["namespaced"] else ""
        return requests.post(
            f"{self.url}{group}{scope}/{found['name']}",
            params={"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {}),
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/yaml",
            },
            data=to_yaml(document),
            verify=False,
            timeout=30,
        )


def know_custom_kinds(server: ApiServer) -> None:
    """Make the kinds that GKE adds to a cluster."""
    kinds = {kind: gateway_kinds.definition(kind) for kind in gateway_kinds.SPECS}
    kinds["PodMonitoring"] = pod_monitoring_kind.CUSTOM_RESOURCE_DEFINITION
    for kind in kinds.values():
        answer = server.create(kind, dry_run=False)
        assert answer.status_code == 201, answer.text
    collections = [gateway_kinds.collection(kind) for kind in gateway_kinds.SPECS]
    for collection in (*collections, pod_monitoring_kind.COLLECTION):
        wait_until(lambda path=collection: server.has(path), collection)


@pytest.fixture
def api_server(tmp_path: Path) -> Iterator[ApiServer]:
    port, *etcd_ports = free_ports(3)
    client_url, peer_url = (f"http://127.0.0.1:{etcd_port}" for etcd_port in etcd_ports)
    token, key = secrets.token_hex(), tmp_path / "key.pem"
    (tmp_path / "tokens").write_text(f"{token},admin,admin,system:masters\n")
    subprocess.run(["openssl", "genrsa", "-out", str(key)], check=True, capture_output=True)
    commands = [
        [
            *("etcd", "--data-dir", str(tmp_path / "etcd")),
            *("--listen-client-urls", client_url, "--advertise-client-urls", client_url),
            *("--listen-peer-urls", peer_url),
        ],
        [
            *("kube-apiserver", "--bind-address", "127.0.0.1", "--secure-port", str(port)),
            *("--etcd-servers", client_url, "--cert-dir", str(tmp_path / "certificates")),
            *("--token-auth-file", str(tmp_path / "tokens"), "--authorization-mode", "RBAC"),
            *("--service-account-issuer", "https://127.0.0.1"),
            *("--service-account-key-file", str(key)),
            *("--service-account-signing-key-file", str(key)),
            *("--service-cluster-ip-range", "10.0.0.0/24"),
        ],
    ]
    log = tmp_path / "log"
    with log.open("w") as output:
        started = [
            subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
            for command in commands
        ]
        try:
            server = ApiServer(f"https://127.0.0.1:{port}", token)
            wait_until_ready(server, started, log)
            yield server
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait(60)


def wait_until_ready(
    server: ApiServer, processes: list[subprocess.Popen[bytes]], log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert all(process.poll() is None for process in processes), log.read_text()[-2000:]
        try:
            # The default namespace is created last.
            if server.get("/api/v1/namespaces/default"):
                return
        except requests.RequestException:
            time.sleep(0.2)
    pytest.fail(
        f"the API server is not ready after {START_SECONDS:.0f} s: {log.read_text()[-2000:]}"
    )


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stack", GKE_STACKS)
def test_an_api_server_accepts_every_manifest(stack: str, way: str, api_server: ApiServer) -> None:
    know_custom_kinds(api_server)
    documents = [manifest(r) for r in kubernetes_objects(run_of(stack, **WAYS[way]))]
    kinds = {document["kind"] for document in documents}
    assert {"Deployment", "Service", "HorizontalPodAutoscaler", "NetworkPolicy"} < kinds
    assert (set(gateway_kinds.SPECS) < kinds) == (way == "domain")
    for document in sorted(documents, key=lambda d: d["kind"] != "Namespace"):
        is_namespace = document["kind"] == "Namespace"
        answer = api_server.create(document, dry_run=not is_namespace)
        assert answer.status_code == 201, f"{document['kind']}: {answer.text}"
        assert "Warning" not in answer.headers, f"{document['kind']}: {answer.headers['Warning']}"


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_an_api_server_refuses_an_unknown_field(api_server: ApiServer) -> None:
    document = manifest(run_of("dev").one("kubernetes:core/v1:Namespace"))
    document["spec"] = {"nonsense": True}
    answer = api_server.create(document, dry_run=True)
    assert answer.status_code == 400
    assert 'unknown field "spec.nonsense"' in answer.json()["message"]
