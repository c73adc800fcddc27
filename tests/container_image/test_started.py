"""The image as a container runs it: the service starts from the layer alone, and draws."""

from __future__ import annotations

import base64
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from container_image.errors import ImageError
from container_image.publish import Request, Surroundings, publish
from container_image.settings import PYTHONS
from container_image.sources import ROOT, content_identity
from tests.container_image.alone import alone
from tests.container_image.checkouts import nobody, push_base
from tests.container_image.stub_registry import StubRegistry, stub_registry
from tests.web.running import WebProcess
from tests.web.stub_model_server import StubModelServer

pytestmark = pytest.mark.slow

SYSTEM_PYTHON = "/usr/bin/python3"


@dataclass(frozen=True)
class Unpacked:
    """run: the image's config; folder: the root of its last layer."""

    run: dict[str, Any]
    folder: Path


def version_of(python: str) -> str:
    if shutil.which(python) is None:
        return "none"
    code = "import platform; print(*platform.python_version_tuple()[:2], sep='.')"
    return subprocess.check_output([python, "-c", code], text=True).strip()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Unpacked]]:
    """By version of Python, made when it is first asked for."""
    with stub_registry() as registry:

        class Made(dict[str, Unpacked]):
            def __missing__(self, python: str) -> Unpacked:
                self[python] = image_of(python, registry, tmp_path_factory.mktemp("image"))
                return self[python]

        yield Made()


def image_of(python: str, registry: StubRegistry, folder: Path) -> Unpacked:
    below = push_base(registry.host, settings={"Entrypoint": None})
    request = Request(
        base=f"{registry.host}/base:nonroot@{below}",
        python=python,
        repository=f"{registry.host}/stack/web",
        content=content_identity(),
    )
    try:
        image = publish(request, Surroundings(nobody, threading.Event(), print))
    except ImageError as error:
        if "pip cannot download" not in str(error) or os.environ.get("CI"):
            raise
        pytest.skip(f"needs a package index: {error}")
    manifest = json.loads(registry.manifests["stack/web", image.digest][1])
    config = json.loads(registry.blobs["stack/web", manifest["config"]["digest"]])
    layer = folder / "layer.tar.gz"
    layer.write_bytes(registry.blobs["stack/web", manifest["layers"][-1]["digest"]])
    with tarfile.open(layer) as archive:
        archive.extractall(folder, filter="data")
    return Unpacked(config["config"], folder)


def assert_draws(web: WebProcess) -> None:
    web.wait_for_model()
    body = {"prompt": "a red circle", "width": 64, "height": 64}
    answer = web.post("/sdapi/v1/txt2img", body)
    assert answer.status_code == 200, answer.text
    assert base64.b64decode(answer.json()["images"][0]).startswith(b"\x89PNG")
    assert web.get("/health").status_code == 200
    assert "<script" in web.get("/").text


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not on PATH")
@pytest.mark.skipif(version_of(SYSTEM_PYTHON) not in PYTHONS, reason="no such system Python")
def test_the_image_draws_in_a_container_of_its_own(made: dict[str, Unpacked]) -> None:
    image = made[version_of(SYSTEM_PYTHON)]
    user, _, group = image.run["User"].partition(":")
    environment = dict(line.split("=", 1) for line in image.run["Env"])
    # The system's Python without its packages stands for the base image. Nothing can be written:
    # there is not even a /tmp.
    container = [
        *("bwrap", "--die-with-parent", "--unshare-all", "--share-net"),
        *("--uid", user, "--gid", group),
        *("--ro-bind", "/usr", "/usr", "--tmpfs", "/usr/lib/python3", "--tmpfs", "/usr/local"),
        *("--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"),
        *("--ro-bind", str(image.folder / "app"), "/app"),
        *("--proc", "/proc", "--dev", "/dev", "--remount-ro", "/", "--clearenv"),
        *(word for pair in environment.items() for word in ("--setenv", *pair)),
        *("--chdir", image.run["WorkingDir"]),
        *image.run["Entrypoint"],
    ]
    with StubModelServer() as stub, WebProcess([stub.endpoint], command=container) as web:
        assert_draws(web)


@pytest.mark.skipif(
    ".".join(platform.python_version_tuple()[:2]) not in PYTHONS or sys.platform != "linux",
    reason="the lock has no wheels for this Python",
)
def test_the_service_starts_from_the_layer_alone(made: dict[str, Unpacked]) -> None:
    folder = made[".".join(platform.python_version_tuple()[:2])].folder
    with StubModelServer() as stub, WebProcess([stub.endpoint], command=alone(folder)) as web:
        assert_draws(web)


def test_the_layer_holds_all_licences(made: dict[str, Unpacked]) -> None:
    image = made[PYTHONS[0]]
    app = image.folder / "app"
    assert (app / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (app / "model_export/assets/bpe_simple_vocab_16e6.LICENSE").is_file()
    packages = list((app / "site").glob("*.dist-info"))
    assert len(packages) > 15
