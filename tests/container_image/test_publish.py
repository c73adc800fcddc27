"""From a checkout and a base image to an image in a registry, and what a second run does."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from container_image import base
from container_image.errors import ImageError, StoppedError
from container_image.publish import publish
from container_image.reference import parse
from tests.container_image.checkouts import (
    DOCKER,
    OCI,
    around,
    base_layer,
    cache_of,
    push_base,
    request,
)
from tests.container_image.gate import gate_before
from tests.container_image.stub_registry import StubRegistry, stub_registry

TAG = "base:nonroot"


def pinned(root: Path, host: str, name: str = TAG) -> str:
    named = parse(f"{host}/{name}")
    with around(root).repository(named) as repository:
        return str(base.resolve(repository, named))


def pushed(root: Path, registry: StubRegistry, host: str = "", base_host: str = "") -> str:
    """Push the checkout's image to stack/web; its digest."""
    image = pinned(root, base_host or registry.host)
    made = publish(request(root, image, host or registry.host), around(root))
    assert made.repository == "stack/web"
    return made.digest


def documents(registry: StubRegistry, digest: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest and the config of an image in stack/web."""
    manifest = json.loads(registry.manifests["stack/web", digest][1])
    config = registry.blobs["stack/web", manifest["config"]["digest"]]
    return manifest, json.loads(config)


@pytest.mark.parametrize("docker", [True, False])
@pytest.mark.parametrize("index", [True, False])
def test_an_image_is_its_base_with_one_layer_more(
    root: Path, registry: StubRegistry, docker: bool, index: bool
) -> None:
    layers = (base_layer(), base_layer("etc/second"))
    below = push_base(registry.host, docker=docker, index=index, layers=layers)
    assert pinned(root, registry.host).endswith(f"/{TAG}@{below}")
    manifest, config = documents(registry, pushed(root, registry))
    base_manifest = json.loads(registry.manifests["base", below][1])
    assert [one["digest"] for one in manifest["layers"][:-1]] == [
        one["digest"] for one in base_manifest["layers"]
    ]
    kinds = {one["mediaType"] for one in (manifest, *manifest["layers"], manifest["config"])}
    assert kinds == {
        f"{OCI}.manifest.v1+json",
        f"{OCI}.layer.v1.tar+gzip",
        f"{OCI}.config.v1+json",
    }
    for one in (*manifest["layers"], manifest["config"]):
        content = registry.blobs["stack/web", one["digest"]]
        assert one["digest"] == f"sha256:{sha256(content).hexdigest()}"
        assert one["size"] == len(content)
    assert len(config["rootfs"]["diff_ids"]) == len(config["history"]) == 3
    assert (config["os"], config["architecture"]) == ("linux", "amd64")


def test_the_image_runs_the_service_as_nobody_in_particular(
    root: Path, registry: StubRegistry
) -> None:
    push_base(registry.host, settings={"Volumes": {"/data": {}}, "User": "root"})
    _, config = documents(registry, pushed(root, registry))
    run = config["config"]
    assert run["Entrypoint"] == ["python3", "-m", "web"]
    assert run["User"] == "65532:65532"
    assert run["WorkingDir"] == "/app"
    assert not {"Cmd", "Volumes", "Healthcheck"} & run.keys()
    assert {"PATH=/usr/bin", "LANG=C.UTF-8", "PYTHONPATH=/app:/app/site"} <= set(run["Env"])


def test_a_base_without_a_path_gets_one(root: Path, registry: StubRegistry) -> None:
    push_base(registry.host, settings={"Env": None})
    _, config = documents(registry, pushed(root, registry))
    assert any(line.startswith("PATH=") and "/usr/bin" in line for line in config["config"]["Env"])


def test_the_layer_has_what_the_service_imports_and_nothing_else(
    root: Path, registry: StubRegistry
) -> None:
    push_base(registry.host)
    manifest, _ = documents(registry, pushed(root, registry))
    content = registry.blobs["stack/web", manifest["layers"][-1]["digest"]]
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        names = set(archive.getnames())
    assert {"app/web/answer.py", "app/site/package/__init__.py"} <= names
    assert {"app/web/unused.py", "app/web/requirements.lock"} & names == set()


def test_each_blob_takes_one_post_and_one_put_and_the_manifest_comes_last(
    root: Path, registry: StubRegistry
) -> None:
    with stub_registry() as bases:
        push_base(bases.host)
        pushed(root, registry, base_host=bases.host)
    methods = [one.split()[0] for one in registry.pushes()]
    assert methods == ["POST", "PUT"] * 3 + ["PUT"]
    assert "/manifests/sha256:" in registry.pushes()[-1]
    looked_for = {one.rpartition("/")[2] for one in registry.asked if one.startswith("HEAD")}
    put = [one.rpartition("digest=")[2] for one in registry.pushes() if "digest=" in one]
    assert {one.replace("%3A", ":") for one in put} <= looked_for


def test_a_second_run_pushes_nothing(root: Path, registry: StubRegistry) -> None:
    push_base(registry.host)
    first = pushed(root, registry)
    registry.asked.clear()
    assert pushed(root, registry) == first
    assert registry.pushes() == []


def test_a_changed_source_uploads_only_the_service(root: Path, registry: StubRegistry) -> None:
    push_base(registry.host)
    first = pushed(root, registry)
    (root / "web" / "answer.py").write_text("ANSWER = 43\n")
    registry.asked.clear()
    second = pushed(root, registry)
    assert second != first
    assert [one.split()[0] for one in registry.pushes()] == ["POST", "PUT"] * 2 + ["PUT"]


def test_a_base_of_the_same_registry_is_mounted_not_copied(
    root: Path, registry: StubRegistry
) -> None:
    push_base(registry.host)
    layer = next(iter(registry.blobs))[1]
    registry.asked.clear()
    pushed(root, registry)
    assert any("mount=" in one and "from=base" in one for one in registry.asked)
    assert f"GET /v2/base/blobs/{layer}" not in registry.asked


def test_a_registry_that_does_not_mount_gets_a_copy(root: Path, registry: StubRegistry) -> None:
    registry.mounts = False
    push_base(registry.host)
    manifest, _ = documents(registry, pushed(root, registry))
    assert all(("stack/web", one["digest"]) in registry.blobs for one in manifest["layers"])


def test_the_same_digest_of_two_tags_makes_two_images(root: Path, registry: StubRegistry) -> None:
    # So that the one can be deleted without the other.
    push_base(registry.host, tag="one")
    push_base(registry.host, tag="two")
    images = [pinned(root, registry.host, f"base:{tag}") for tag in ("one", "two")]
    assert images[0].rpartition("@")[2] == images[1].rpartition("@")[2]
    made = {publish(request(root, one, registry.host), around(root)).digest for one in images}
    assert len(made) == 2


@pytest.mark.parametrize("seed", range(4))
def test_cut_connections_are_tried_again(root: Path, registry: StubRegistry, seed: int) -> None:
    (root / "web" / "page" / "source" / "main.js").write_bytes(bytes(range(256)) * 2000)
    with gate_before(registry.host, cuts=4) as gate:
        gate.draw.seed(seed)
        push_base(registry.host)
        registry.mounts = False
        digest = pushed(root, registry, gate.host)
        assert gate.cuts == 0
        assert gate.refused_chunks == 0
    manifest, _ = documents(registry, digest)
    assert all(("stack/web", one["digest"]) in registry.blobs for one in manifest["layers"])


def test_a_run_that_was_ended_is_completed_by_the_next(
    root: Path, registry: StubRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_base(registry.host)
    image = pinned(root, registry.host)
    for done in range(1, 12):
        surroundings = around(root)
        registry.asked.clear()
        _stop_after(done, registry, surroundings.stopped)
        try:
            made = publish(request(root, image, registry.host, "ended/web"), surroundings)
        except StoppedError:
            assert_whole(registry)
            continue
        break
    else:
        pytest.fail("no run got through")
    assert done > 3
    assert ("ended/web", made.digest) in registry.manifests
    assert_whole(registry)
    assert not list(cache_of(root).glob("work-*"))


def assert_whole(registry: StubRegistry) -> None:
    """A manifest, which makes an image exist, comes only after all of its blobs."""
    for (repository, _), (_, content) in registry.manifests.items():
        manifest = json.loads(content)
        for one in (manifest["config"], *manifest["layers"]):
            assert (repository, one["digest"]) in registry.blobs


def _stop_after(requests: int, registry: StubRegistry, stopped: threading.Event) -> None:
    class Asked(list[str]):
        def append(self, line: str) -> None:
            super().append(line)
            if len(self) >= requests:
                stopped.set()

    registry.asked = Asked()


def test_files_that_changed_since_the_preview_are_refused(
    root: Path, registry: StubRegistry
) -> None:
    push_base(registry.host)
    asked = request(root, pinned(root, registry.host), registry.host)
    (root / "web" / "answer.py").write_text("ANSWER = 43\n")
    with pytest.raises(ImageError, match="have changed since the start: run it again"):
        publish(asked, around(root))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"Env": ["PYTHON_VERSION=3.12.1"]}, r"has Python 3\.12, not 3\.11: set webPython"),
        ({"Entrypoint": ["/usr/bin/python3.13"]}, r"has Python 3\.13, not 3\.11"),
    ],
)
def test_a_base_with_another_python_is_refused(
    root: Path, registry: StubRegistry, settings: dict[str, Any], complaint: str
) -> None:
    if "Env" in settings:
        settings["Entrypoint"] = None
    push_base(registry.host, settings=settings)
    with pytest.raises(ImageError, match=complaint):
        pushed(root, registry)
    assert not any("stack/web" in one for one in registry.pushes())


def test_a_base_for_another_machine_is_refused(root: Path, registry: StubRegistry) -> None:
    push_base(registry.host, architecture="arm64")
    with pytest.raises(ImageError, match="is not for linux/amd64: name another base image"):
        pushed(root, registry)


def test_an_index_without_this_machine_is_refused(root: Path, registry: StubRegistry) -> None:
    push_base(registry.host, index=True)
    media_type, content = registry.manifests["base", "nonroot"]
    other = content.replace(b"amd64", b"s390x")
    registry.manifests["base", "nonroot"] = (media_type, other)
    with pytest.raises(ImageError, match="has no image for linux/amd64"):
        pinned(root, registry.host)


def test_a_layer_of_an_unknown_kind_is_refused(root: Path, registry: StubRegistry) -> None:
    digest = push_base(registry.host, docker=True)
    kind = f"{DOCKER}.image.rootfs.foreign.diff.tar.gzip"
    media_type, content = registry.manifests["base", digest]
    other = content.replace(f"{DOCKER}.image.rootfs.diff.tar.gzip".encode(), kind.encode())
    registry.manifests["base", "nonroot"] = (media_type, other)
    named = f"{registry.host}/base:nonroot@sha256:{sha256(other).hexdigest()}"
    registry.manifests["base", f"sha256:{sha256(other).hexdigest()}"] = (media_type, other)
    with pytest.raises(ImageError, match="has a layer of the kind"):
        publish(request(root, named, registry.host), around(root))


def test_a_base_that_is_not_what_its_digest_says_is_refused(
    root: Path, registry: StubRegistry
) -> None:
    push_base(registry.host)
    with stub_registry() as target:
        image = pinned(root, registry.host)
        for key, content in registry.blobs.items():
            if not content.startswith(b"{"):
                registry.blobs[key] = content[:-1] + b"!"
        with pytest.raises(ImageError, match="answers with another content than sha256:"):
            publish(request(root, image, target.host), around(root))
        assert not target.manifests
