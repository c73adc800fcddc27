"""Stand-ins for `pulumi`, `gcloud` and `kubectl`: scripts on a PATH of their own.

Each prints, by the beginning of its arguments, the JSON that the real tool documents.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

PROJECT = "my-project-1"
BUCKET = "diffusion-models-1a2b3c4"
FINGERPRINT = "0123456789abcdef"
MODEL_URI = f"gs://{BUCKET}/models/{FINGERPRINT}"
POD = "diffusion-5d8f7c9b6d-x2k4p"


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


def pod(
    *,
    ready: bool = True,
    state: dict[str, object] | None = None,
    last_state: dict[str, object] | None = None,
    restarts: int = 0,
) -> dict[str, object]:
    """One of the items of `kubectl get pods -o json`, on a node."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD, "namespace": "diffusion-serving"},
        "spec": {"nodeName": "gke-diffusion-nodes-1", "containers": [{"name": "model-server"}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [
                {
                    "name": "model-server",
                    "ready": ready,
                    "restartCount": restarts,
                    "state": state or {"running": {"startedAt": "2026-03-01T10:00:00Z"}},
                    "lastState": last_state or {},
                }
            ],
        },
    }


def unschedulable_pod() -> dict[str, object]:
    """A pod for which the scheduler finds no node."""
    return {
        "metadata": {"name": POD, "namespace": "diffusion-serving"},
        "spec": {"containers": [{"name": "model-server"}]},
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
    tools.answer("gke-gcloud-auth-plugin", "", "")
    tools.answer("gcloud", "storage buckets get-iam-policy", iam_policy())
    tools.answer("gcloud", "storage objects describe", {"name": "saved_model.pb", "size": 9})
    tools.answer("gcloud", "container clusters get-credentials", "")
    tools.answer("gcloud", "container node-pools list", node_pools())
    region = quotas(N2_CPUS=(8.0, 4.0), SSD_TOTAL_GB=(500.0, 100.0), PREEMPTIBLE_CPUS=(0.0, 0.0))
    tools.answer("gcloud", "compute regions describe us-central1", region)
    tools.answer("gcloud", "compute project-info describe", quotas(CPUS_ALL_REGIONS=(12.0, 4.0)))
    tools.answer("kubectl", "get namespace diffusion-serving", {"kind": "Namespace"})
    tools.answer("kubectl", "get pods -l", items(pod()))
    tools.answer("kubectl", "get nodes", items({"kind": "Node"}))
    tools.answer("kubectl", "logs", "Running gRPC ModelServer at 0.0.0.0:8500 ...\n")
