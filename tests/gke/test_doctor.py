"""`doctor` and the end of `make up` on a real engine, Kubernetes provider and control plane."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gke.checks import service
from tests.gke.control_plane import ControlPlane
from tests.gke.lab import MISSING, PROJECT, STACK, Lab
from tests.processes import wait_until

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        bool(MISSING) or shutil.which("kubectl") is None,
        reason=f"not on PATH: {', '.join(MISSING or ['kubectl'])}",
    ),
]

BROKEN_DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture
def dev(dev: Lab, plane: ControlPlane, tmp_path: Path) -> Lab:
    """With a stand-in for gcloud that knows the way to the control plane, and nothing else."""
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "clusters": [
            {
                "name": "lab",
                "cluster": {
                    "server": f"https://{plane.address}",
                    "certificate-authority": str(plane.ca_file),
                },
            }
        ],
        "users": [{"name": "lab", "user": {"token": plane.token}}],
    }
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(kubeconfig))
    gcloud = tmp_path / "lab" / "bin" / "gcloud"
    gcloud.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *get-credentials*) cp {file} "$KUBECONFIG";; *) echo "[]";; esac\n'
    )
    gcloud.chmod(0o755)
    return dev


def client(dev: Lab, *command: str) -> tuple[str, int]:
    """What a command of the client prints, and its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "client", *command, "--stack", STACK],
        cwd=dev.checkout.folder,
        env={**dev.environment, "ENGINE": "pulumi"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr, done.returncode


def line(output: str, state: str, check: str) -> str:
    """The only finding of that state and check."""
    found = [one for one in output.splitlines() if one.split()[:2] == [state, check]]
    assert len(found) == 1, output
    return found[0]


def test_it_diagnoses_a_first_up_that_failed_and_a_failed_change(dev: Lab) -> None:
    output, code = client(dev, "doctor")
    assert (code, "stack dev is empty" in line(output, "wrong", "stack")) == (4, True)

    dev.nodes.broken[BROKEN_DIGEST] = "CrashLoopBackOff"
    dev.set(imageDigest=BROKEN_DIGEST)
    dev.up(code=1)
    output, code = client(dev, "doctor")
    assert code == 4
    assert "has not finished: the last thing made is Deployment model-server" in output
    assert "there is no Service" in line(output, "wrong", "stack")
    line(output, "ok", "files")
    line(output, "ok", "cluster")
    assert "is restarting" in line(output, "wrong", "pods")

    dev.set(imageDigest="")
    dev.up()
    output, _ = client(dev, "doctor")
    assert "serves model" in line(output, "ok", "stack")
    assert "has loaded the model" in line(output, "ok", "pods")
    assert "keys of alice" in line(output, "ok", "keys")
    assert "`make page STACK=dev`" in line(output, "ok", "service")

    dev.set(imageDigest=BROKEN_DIGEST, steps=12)
    dev.up(code=1)
    output, _ = client(dev, "doctor")
    assert "an `up` that did not finish made model" in line(output, "wrong", "stack")
    assert output.count("ok       files") == 2
    dev.set(imageDigest="", steps=30)


def test_a_server_that_is_not_exposed_any_more_is_said_to_be(dev: Lab) -> None:
    dev.set(exposeModelServer="true", allowedSourceRanges="203.0.113.7/32")
    dev.up()
    before = service(dev, "model-server")
    dev.set(exposeModelServer="false")
    dev.up()
    hidden = service(dev, "model-server")
    assert hidden["spec"]["type"] == "ClusterIP"
    assert hidden["metadata"]["uid"] == before["metadata"]["uid"]
    wait_until(lambda: not dev.google.resources("ForwardingRule"), "the end of the load balancer")
    assert "it is private: `make page STACK=dev`" in line(client(dev, "doctor")[0], "ok", "service")
    for command, code in (("first-picture", 0), ("status", 4)):
        output, ended = client(dev, command)
        assert (ended, "`make page STACK=dev`" in output) == (code, True)
        assert len(output.splitlines()) == 1
    dev.set(exposeModelServer="true")
    dev.up()
    again = service(dev, "model-server")
    assert again["status"]["loadBalancer"]["ingress"]
    assert len(dev.google.resources("ForwardingRule")) == 1


def test_it_names_the_cluster_that_a_killed_up_left_outside_the_state(dev: Lab) -> None:
    dev.google.order("create", "Cluster", "hang after")
    process = dev.start("up", "--yes", "--refresh")
    dev.wait_for_call("hanging")
    dev.kill(process)
    (left,) = (cluster["name"] for cluster in dev.google.resources("Cluster").values())
    output, _ = client(dev, "doctor")
    assert f"creating Cluster {left} has no recorded end" in output
    assert f"gcloud container clusters list --filter=name={left} --project {PROJECT}" in output
    (advised,) = re.findall(r"`pulumi (refresh --clear-pending-creates [^`]*)`", output)
    # Each later update fails as long as it is there.
    assert "already used by another cluster" in dev.up(code=1)
    assert f"creating Cluster {left} has no recorded end" in client(dev, "doctor")[0]
    with dev.google.changing() as resources:
        for id_ in [id_ for id_, one in resources.items() if one.get("name") == left]:
            del resources[id_]
    dev.pulumi(*[word for word in advised.split() if word not in ("--stack", STACK)])
    assert "has no recorded end" not in client(dev, "doctor")[0]
    dev.up()
