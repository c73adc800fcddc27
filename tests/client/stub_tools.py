"""Stand-ins for `pulumi`, `gcloud` and `kubectl`: scripts on a PATH of their own.

Each prints, by the beginning of its arguments, the JSON that the real tool documents.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

PROJECT = "my-project-1"
BUCKET = "diffusion-models-1a2b3c4"
FINGERPRINT = "0123456789abcdef"
MODEL_URI = f"gs://{BUCKET}/models/{FINGERPRINT}"
POD = "model-server-5d8f7c9b6d-x2k4p"
POD_HASH = "5d8f7c9b6d"
WORKLOAD = "get deployments.apps,replicasets.apps,configmaps,pods -l"
SECRET = {
    "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
    "ciphertext": "v1:x",
}
"""As the state writes a secret."""


class StubTools:
    """A folder for PATH. `answer` adds a tool's output; the first matching beginning wins."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bin"
        self.path.mkdir()
        self._asked = folder / "asked"
        self._asked.touch()
        self._answers: dict[str, dict[str, tuple[str, str, int]]] = {}

    def answer(
        self, tool: str, beginning: str, document: object, *, stderr: str = "", code: int = 0
    ) -> None:
        """document: text as it is, anything else as JSON."""
        text = document if isinstance(document, str) else json.dumps(document)
        answers = self._answers.setdefault(tool, {})
        answers[beginning] = (text, stderr, code)
        self._write(tool)

    def fails(self, tool: str, beginning: str, stderr: str) -> None:
        self.answer(tool, beginning, "", stderr=stderr, code=1)

    def remove(self, tool: str) -> None:
        (self.path / tool).unlink()

    @property
    def asked(self) -> list[str]:
        """The command lines so far, each after the value of KUBECONFIG."""
        return self._asked.read_text().splitlines()

    def _write(self, tool: str) -> None:
        lines = ["#!/bin/sh", f'echo "$KUBECONFIG {tool} $*" >> {self._asked}', 'case "$*" in']
        for beginning, (text, stderr, code) in self._answers[tool].items():
            lines.append(f"{shlex.quote(beginning)}*)")
            lines.append(f"printf %s {shlex.quote(text)}")
            lines.append(f"printf %s {shlex.quote(stderr)} >&2; exit {code};;")
        lines += [f'*) echo "{tool}: no answer to $*" >&2; exit 99;;', "esac", ""]
        script = self.path / tool
        script.write_text("\n".join(lines))
        script.chmod(0o755)


def outputs(endpoint: str) -> dict[str, object]:
    """`pulumi stack output --json` of a stack on GKE."""
    return {
        "endpoint": endpoint,
        "grpcEndpoint": "203.0.113.9:8500",
        "modelName": "stable-diffusion",
        "modelUri": MODEL_URI,
        "fingerprint": FINGERPRINT,
        "limits": {},
        "bucket": BUCKET,
        "kubeconfigCommand": (
            "gcloud container clusters get-credentials diffusion-1a2b3c4 "
            f"--location us-central1-c --project {PROJECT} --dns-endpoint"
        ),
    }


def resource(type_: str, name: str, **more: object) -> dict[str, object]:
    """One of the resources in a state; more: its inputs, outputs, initErrors and so on."""
    return {
        "urn": f"urn:pulumi:dev::diffusion-serving::{type_}::{name}",
        "custom": True,
        "type": type_,
        "id": name,
        "created": "2026-03-01T10:00:00Z",
        **more,
    }


def cluster() -> dict[str, object]:
    where = {"name": "diffusion-1a2b3c4", "location": "us-central1-c", "project": PROJECT}
    outputs = {**where, "kubeconfig": SECRET}
    return resource("gcp:container/cluster:Cluster", "diffusion", inputs=where, outputs=outputs)


def model_export(fingerprint: str = FINGERPRINT, **more: object) -> dict[str, object]:
    outputs = {"uri": f"gs://{BUCKET}/models/{fingerprint}", "fingerprint": fingerprint}
    type_ = "pulumi-python:dynamic/diffusion:ModelExport"
    return resource(type_, "model", outputs=outputs, **more)


def kubernetes(type_: str, name: str = "model-server", **more: object) -> dict[str, object]:
    """A Kubernetes object in a state."""
    metadata = {"name": name, "namespace": "diffusion-serving"}
    inputs: dict[str, object] = {"metadata": metadata}
    return resource(type_, "diffusion", **{"inputs": inputs, "outputs": inputs, **more})


def service(endpoint: str) -> dict[str, object]:
    """The LoadBalancer Service with that address."""
    host, _, port = endpoint.removeprefix("http://").partition(":")
    spec = {"type": "LoadBalancer", "ports": [{"name": "rest", "port": int(port)}]}
    inputs = {"metadata": {"name": "model-server"}, "spec": spec}
    outputs = {**inputs, "status": {"loadBalancer": {"ingress": [{"ip": host}]}}}
    return kubernetes("kubernetes:core/v1:Service", inputs=inputs, outputs=outputs)


def made_up_to(last: str, endpoint: str = "") -> list[dict[str, object]]:
    """What an `up` has made when it comes as far as the resource of that kind, in order."""
    bucket = {"name": BUCKET, "project": PROJECT}
    everything = [
        {**cluster(), "created": "2026-03-01T10:10:00Z"},
        resource("gcp:container/nodePool:NodePool", "diffusion", outputs={"name": "nodes-1"}),
        resource("gcp:storage/bucket:Bucket", "models", inputs=bucket, outputs=bucket),
        model_export(created="2026-03-01T10:30:00Z"),
        kubernetes("kubernetes:core/v1:Secret", "web-keys"),
        kubernetes("kubernetes:apps/v1:Deployment", created="2026-03-01T10:31:00Z"),
        *([kubernetes("kubernetes:core/v1:Service", "web"), service(endpoint)] if endpoint else []),
    ]
    kinds = [str(one["type"]).rpartition(":")[2] for one in everything]
    return everything[: len(kinds) - kinds[::-1].index(last)]


def export(
    resources: Sequence[object], pending: Sequence[tuple[str, object]] = ()
) -> dict[str, object]:
    """`pulumi stack export`. pending: operations that have begun, as "creating", on what."""
    stack = {
        "urn": "urn:pulumi:dev::diffusion-serving::pulumi:pulumi:Stack::diffusion-serving-dev",
        "custom": False,
        "type": "pulumi:pulumi:Stack",
        "created": "2026-03-01T09:59:00Z",
    }
    provider = resource("pulumi:providers:gcp", "default", created="2026-03-01T11:00:00Z")
    operations = [{"type": type_, "resource": one} for type_, one in pending]
    return {
        "version": 3,
        "deployment": {
            "manifest": {"time": "2026-03-01T11:00:00Z", "version": "v3.260.0"},
            "resources": [stack, provider, *resources],
            **({"pending_operations": operations} if operations else {}),
        },
    }


def iam_policy(role: str = "roles/storage.objectViewer") -> dict[str, object]:
    """`gcloud storage buckets get-iam-policy --format=json`."""
    member = (
        "principal://iam.googleapis.com/projects/123456789012/locations/global/"
        f"workloadIdentityPools/{PROJECT}.svc.id.goog/subject/ns/diffusion-serving/sa/model-server"
    )
    return {
        "bindings": [
            {"members": [f"projectOwner:{PROJECT}"], "role": "roles/storage.legacyBucketOwner"},
            {"members": [member], "role": role},
        ],
        "etag": "CAI=",
        "version": 1,
    }


STARTED: dict[str, object] = {"running": {"startedAt": "2026-03-01T10:00:00Z"}}
DONE: dict[str, object] = {"terminated": {"exitCode": 0, "reason": "Completed"}}


def pod(
    *,
    ready: bool = True,
    state: dict[str, object] | None = None,
    last_state: dict[str, object] | None = None,
    restarts: int = 0,
    init: dict[str, object] | None = None,
    init_last: dict[str, object] | None = None,
    web: dict[str, object] | None = None,
    name: str = POD,
) -> dict[str, object]:
    """A pod on a node, as `kubectl get -o json` shows it.

    state: of the server's container; init: of the one that waits for the model, DONE by default;
    web: what is different in the status of the web service's.
    """
    is_waiting = init is not None
    if is_waiting:
        state = {"waiting": {"reason": "PodInitializing"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _pod_metadata(name),
        "spec": {"nodeName": "gke-diffusion-nodes-1", "containers": [_container(name)]},
        "status": {
            "phase": "Pending" if is_waiting else "Running",
            "conditions": [{"type": "PodScheduled", "status": "True"}],
            "initContainerStatuses": [
                {
                    "name": "wait-for-model",
                    "ready": not is_waiting,
                    "restartCount": 1 if init_last else 0,
                    "state": init or DONE,
                    "lastState": init_last or {},
                }
            ],
            "containerStatuses": [
                {
                    "name": "model-server",
                    "ready": ready and not is_waiting,
                    "restartCount": restarts,
                    "state": state or STARTED,
                    "lastState": last_state or {},
                },
                {
                    "name": "web",
                    "ready": ready and not is_waiting,
                    "restartCount": 0,
                    "state": state if is_waiting else STARTED,
                    "lastState": {},
                    **(web or {}),
                },
            ],
        },
    }


def keys_secret(*names: str) -> dict[str, object]:
    """The Secret with the web service's keys."""
    entries = [{"name": name, "sha256": 64 * "a"} for name in names]
    content = base64.b64encode(json.dumps({"keys": entries}).encode()).decode()
    return {"kind": "Secret", "metadata": {"name": "web-keys"}, "data": {"keys.json": content}}


def _pod_metadata(name: str) -> dict[str, object]:
    labels = {"app.kubernetes.io/name": "model-server", "pod-template-hash": name.split("-")[2]}
    return {"name": name, "namespace": "diffusion-serving", "labels": labels}


def _container(pod_name: str) -> dict[str, object]:
    key = {"name": f"config-{pod_name.split('-')[2]}", "key": "MODEL_PATH"}
    variable = {"name": "MODEL_PATH", "valueFrom": {"configMapKeyRef": key}}
    return {"name": "model-server", "env": [variable]}


def revision(
    number: int, pod_hash: str = POD_HASH, model_uri: str = MODEL_URI
) -> list[dict[str, object]]:
    """A Deployment's revision: its ReplicaSet, and the ConfigMap with its model."""
    replica_set = {
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"model-server-{pod_hash}",
            "labels": {"pod-template-hash": pod_hash},
            "annotations": {"deployment.kubernetes.io/revision": str(number)},
        },
    }
    config_map = {
        "kind": "ConfigMap",
        "metadata": {"name": f"config-{pod_hash}"},
        "data": {"MODEL_PATH": model_uri, "MODEL_NAME": "stable-diffusion"},
    }
    return [replica_set, config_map]


def deployment(*conditions: object) -> dict[str, object]:
    metadata = {"name": "model-server", "namespace": "diffusion-serving"}
    return {"kind": "Deployment", "metadata": metadata, "status": {"conditions": list(conditions)}}


def workload(*pods: object) -> dict[str, object]:
    """What `kubectl get` lists of the Deployment and what belongs to it."""
    return items(deployment(), *revision(1), *pods)


def unschedulable_pod() -> dict[str, object]:
    """A pod for which the scheduler finds no node."""
    return {
        "kind": "Pod",
        "metadata": _pod_metadata(POD),
        "spec": {"containers": [_container(POD)]},
        "status": {
            "phase": "Pending",
            "conditions": [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": "0/1 nodes are available: 1 Insufficient cpu.",
                }
            ],
        },
    }


def items(*objects: object) -> dict[str, object]:
    """A list as `kubectl get … -o json` writes it."""
    return {"apiVersion": "v1", "items": list(objects), "kind": "List", "metadata": {}}


def node_pools(*, most: int = 2, spot: bool = False) -> list[object]:
    """`gcloud container node-pools list --format=json`."""
    config: dict[str, object] = {
        "machineType": "n2-standard-4",
        "diskSizeGb": 100,
        "diskType": "pd-balanced",
    }
    if spot:
        config["spot"] = True
    autoscaling = {"enabled": True, "totalMinNodeCount": 1, "totalMaxNodeCount": most}
    return [{"name": "diffusion-nodes-1a2b3c4", "config": config, "autoscaling": autoscaling}]


def quotas(**limits: tuple[float, float]) -> dict[str, object]:
    """What `gcloud compute regions describe` and `project-info describe` say of quotas."""
    entries = [
        {"limit": limit, "metric": metric, "usage": usage}
        for metric, (limit, usage) in limits.items()
    ]
    return {"kind": "compute#region", "name": "us-central1", "quotas": entries}


def healthy(tools: StubTools, endpoint: str) -> None:
    """The output for a healthy stack whose pool may grow by a node."""
    tools.answer("pulumi", "stack output --json --stack dev", outputs(endpoint))
    tools.answer("pulumi", "stack export --stack dev", export(made_up_to("Service", endpoint)))
    tools.answer("gke-gcloud-auth-plugin", "", "")
    tools.answer("gcloud", "storage buckets get-iam-policy", iam_policy())
    tools.answer("gcloud", "storage objects describe", {"name": "saved_model.pb", "size": 9})
    tools.answer("gcloud", "container clusters get-credentials", "")
    tools.answer("gcloud", "container node-pools list", node_pools())
    region = quotas(N2_CPUS=(8.0, 4.0), SSD_TOTAL_GB=(500.0, 100.0), PREEMPTIBLE_CPUS=(0.0, 0.0))
    tools.answer("gcloud", "compute regions describe us-central1", region)
    tools.answer("gcloud", "compute project-info describe", quotas(CPUS_ALL_REGIONS=(12.0, 4.0)))
    tools.answer("kubectl", "get namespace diffusion-serving", {"kind": "Namespace"})
    tools.answer("kubectl", "get secret web-keys", keys_secret("alice", "bob"))
    tools.answer("kubectl", WORKLOAD, workload(pod()))
    tools.answer("kubectl", "get events", items())
    tools.answer("kubectl", "get nodes", items({"kind": "Node"}))
    tools.answer("kubectl", "logs", "Running gRPC ModelServer at 0.0.0.0:8500 ...\n")
