"""A real registry behind a door like Artifact Registry's: no chunks, tokens, and cut wires."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from container_image.base import resolve
from container_image.login import Login
from container_image.publish import publish
from container_image.reference import parse
from tests.container_image.checkouts import (
    around,
    base_layer,
    cache_of,
    checkout,
    push_base,
    request,
)
from tests.container_image.debian_registry import MISSING, PROGRAM, debian_registry
from tests.container_image.gate import Gate, gate_before

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason=MISSING),
]

LOGIN = Login("user", "pass word")
LARGE = base_layer(size=3 << 20)
PUSH = """
import sys
from pathlib import Path
from container_image.login import Login
from container_image.publish import publish
from tests.container_image.checkouts import around, request
root, base, host = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
surroundings = around(root, lambda _host: Login("user", "pass word"))
print(publish(request(root, base, host), surroundings).digest, flush=True)
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with debian_registry(tmp_path_factory.mktemp("registry")) as address:
        push_base(address, index=True, docker=True, layers=(base_layer(), LARGE))
        yield address


@pytest.fixture
def gate(host: str) -> Iterator[Gate]:
    with gate_before(host, wants="token") as before:
        yield before


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = checkout(tmp_path / "checkout")
    # Of its own content, so that no test finds another's blobs.
    (folder / "web" / "answer.py").write_text(f"ANSWER = {str(tmp_path)!r}\n")
    noise = random.Random(1).randbytes(1 << 20)
    (folder / "web" / "page" / "source" / "main.js").write_bytes(noise)
    return folder


def base_of(root: Path, gate: Gate) -> str:
    named = parse(f"{gate.host}/base:nonroot")
    with around(root, lambda _host: LOGIN).repository(named) as repository:
        return str(resolve(repository, named))


def push(root: Path, gate: Gate, repository: str) -> str:
    asked = request(root, base_of(root, gate), gate.host, repository)
    return publish(asked, around(root, lambda _host: LOGIN)).digest


def assert_whole(host: str, repository: str, digest: str) -> None:
    """Everything that the manifest names can be pulled, and is what it says."""
    url = f"http://{host}/v2/{repository}"
    accepted = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    content = requests.get(f"{url}/manifests/{digest}", headers=accepted, timeout=30).content
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == digest
    manifest = json.loads(content)
    for one in (manifest["config"], *manifest["layers"]):
        blob = requests.get(f"{url}/blobs/{one['digest']}", timeout=30).content
        assert (len(blob), f"sha256:{hashlib.sha256(blob).hexdigest()}") == (
            one["size"],
            one["digest"],
        )


def test_an_image_is_pushed_pulled_and_deleted_without_chunks(root: Path, gate: Gate) -> None:
    digest = push(root, gate, "plain/web")
    assert gate.refused_chunks == 0
    assert_whole(gate.behind, "plain/web", digest)
    gate.asked.clear()
    assert push(root, gate, "plain/web") == digest
    assert not [one for one in gate.asked if one.split()[0] not in ("GET", "HEAD")]
    named = parse(f"{gate.host}/plain/web@{digest}")
    with around(root, lambda _host: LOGIN).repository(named) as repository:
        assert repository.delete_manifest(digest)
        assert not repository.has_manifest(digest)
        assert not repository.delete_manifest(digest)


def test_the_base_is_mounted_within_the_registry(root: Path, gate: Gate) -> None:
    digest = push(root, gate, "mounted/web")
    assert_whole(gate.behind, "mounted/web", digest)
    large = [one for one in gate.asked if "mount=" in one]
    assert large
    downloads = [one for one in gate.asked if one.startswith("GET /v2/base/blobs/")]
    assert len(downloads) == 1  # the base's config


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 25))]
)
def test_cuts_at_drawn_points_are_survived(root: Path, host: str, seed: int) -> None:
    with (
        gate_before(host, wants="token") as bases,
        gate_before(host, wants="token", cuts=4, draw=random.Random(seed)) as target,
    ):
        base = base_of(root, bases)
        asked = request(root, base, target.host, f"cut{seed}/web")
        digest = publish(asked, around(root, lambda _host: LOGIN)).digest
    assert_whole(host, f"cut{seed}/web", digest)


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 12))]
)
def test_a_killed_push_is_completed_by_the_next(root: Path, gate: Gate, seed: int) -> None:
    gate.seconds = 0.05
    base = base_of(root, gate)
    command = [sys.executable, "-c", PUSH, str(root), base, gate.host]
    draw = random.Random(seed)
    gate.asked.clear()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        end, after = time.monotonic() + 60, draw.randrange(3, 14)
        while len(gate.asked) < after and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    digest = push(root, gate, "stack/web")
    assert_whole(gate.behind, "stack/web", digest)
    abandoned = list(cache_of(root).glob("work-*"))
    assert len(abandoned) <= 1


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not on PATH")
def test_another_tool_pulls_the_image_with_the_same_digests(
    root: Path, gate: Gate, tmp_path: Path
) -> None:
    digest = push(root, gate, "pulled/web")
    image = f"docker://{gate.behind}/pulled/web@{digest}"
    copied = tmp_path / "copied"
    subprocess.run(
        ["skopeo", "copy", "--src-tls-verify=false", image, f"dir:{copied}"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    content = (copied / "manifest.json").read_bytes()
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == digest
    for one in json.loads(content)["layers"]:
        hexadecimal = one["digest"].removeprefix("sha256:")
        file = copied / hexadecimal
        assert hashlib.sha256(file.read_bytes()).hexdigest() == hexadecimal
    shown = subprocess.run(
        ["skopeo", "inspect", "--config", "--tls-verify=false", image],
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout
    assert json.loads(shown)["config"]["Entrypoint"] == ["python3", "-m", "web"]
