"""A small checkout with a web service of a few lines, one package, and a base image for it."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import threading
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import requests

from container_image.login import Login, Logins
from container_image.publish import Request, Surroundings
from container_image.sources import content_identity

PYTHON = "3.11"
OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"


def nobody(_host: str) -> Login | None:
    return None


def checkout(root: Path) -> Path:
    """With its package in the cache, where no index is asked for it."""
    files = {
        "LICENSE": "Free.",
        "web/__init__.py": "",
        "web/__main__.py": "import package\nfrom web.answer import ANSWER\n\nprint(ANSWER)\n",
        "web/answer.py": "ANSWER = 42\n",
        "web/unused.py": "",
        "web/page/source/index.html": "<p>",
        "web/page/source/style.css": "p {}",
        "web/page/source/main.js": "1;",
        "model_export/assets/bpe_simple_vocab_16e6.txt.gz": "words",
    }
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    about = "Metadata-Version: 2.1\nName: package\nVersion: 1.0\n"
    content = wheel(
        {
            "package/__init__.py": "",
            "package-1.0.dist-info/METADATA": about,
            "package-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n",
            "package-1.0.dist-info/RECORD": "",
        }
    )
    folder = cache_of(root) / f"wheels-{PYTHON}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package-1.0-py3-none-any.whl").write_bytes(content)
    lock = f"package==1.0 \\\n    --hash=sha256:{sha256(content).hexdigest()}\n"
    (root / "web" / "requirements.lock").write_text(lock)
    return root


def cache_of(root: Path) -> Path:
    return root / ".cache" / "image"


def wheel(files: dict[str, str]) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)  # of no time
    return output.getvalue()


def around(root: Path, logins: Logins = nobody) -> Surroundings:
    return Surroundings(logins, threading.Event(), lambda _line: None, root, cache_of(root))


def request(root: Path, base: str, host: str, repository: str = "stack/web") -> Request:
    return Request(base, PYTHON, f"{host}/{repository}", content_identity(root))


def base_layer(name: str = "etc/base", size: int = 1000) -> bytes:
    output = io.BytesIO()
    with tarfile.open(mode="w", fileobj=output) as archive:
        member = tarfile.TarInfo(name)
        member.size = size
        archive.addfile(member, io.BytesIO(bytes(size)))
    return output.getvalue()


def push_base(
    host: str,
    repository: str = "base",
    tag: str = "nonroot",
    *,
    docker: bool = False,
    index: bool = False,
    layers: tuple[bytes, ...] = (base_layer(),),
    settings: dict[str, Any] | None = None,
    **config: Any,
) -> str:
    """Push an image by plain requests; the digest of the image for linux/amd64."""
    kinds = (
        (f"{DOCKER}.distribution.manifest.v2+json", f"{DOCKER}.container.image.v1+json")
        if docker
        else (f"{OCI}.manifest.v1+json", f"{OCI}.config.v1+json")
    )
    layer_kind = f"{DOCKER}.image.rootfs.diff.tar.gzip" if docker else f"{OCI}.layer.v1.tar+gzip"
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Env": ["PATH=/usr/bin", "LANG=C.UTF-8"],
            "Entrypoint": ["/usr/bin/python3.11"],
            "Cmd": ["-c", "1"],
            **(settings or {}),
        },
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
        "history": [{"created_by": "the base"} for _ in layers],
        **config,
    }
    blobs = [gzip.compress(layer, mtime=0) for layer in layers]
    config_blob = json.dumps(document).encode()
    for blob in (*blobs, config_blob):
        _push_blob(host, repository, blob)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": kinds[0],
            "config": _descriptor(config_blob, kinds[1]),
            "layers": [_descriptor(blob, layer_kind) for blob in blobs],
        }
    ).encode()
    if not index:
        return push_manifest(host, repository, tag, manifest, kinds[0])
    other = manifest + b"\n"
    for one in (manifest, other):
        push_manifest(host, repository, _digest(one), one, kinds[0])
    platforms = [("linux", "arm64", other), ("linux", "amd64", manifest)]
    kind = f"{DOCKER}.distribution.manifest.list.v2+json" if docker else f"{OCI}.index.v1+json"
    entries = [
        {**_descriptor(one, kinds[0]), "platform": {"os": system, "architecture": machine}}
        for system, machine, one in platforms
    ]
    content = {"schemaVersion": 2, "mediaType": kind, "manifests": entries}
    push_manifest(host, repository, tag, json.dumps(content).encode(), kind)
    return _digest(manifest)


def push_manifest(host: str, repository: str, version: str, content: bytes, kind: str) -> str:
    url = f"http://{host}/v2/{repository}/manifests/{version}"
    requests.put(url, data=content, headers={"Content-Type": kind}, timeout=30).raise_for_status()
    return _digest(content)


def _push_blob(host: str, repository: str, blob: bytes) -> None:
    begun = requests.post(f"http://{host}/v2/{repository}/blobs/uploads/", timeout=30)
    place = requests.compat.urljoin(begun.url, begun.headers["Location"])
    query = {"digest": _digest(blob)}
    requests.put(place, params=query, data=blob, timeout=60).raise_for_status()


def _descriptor(blob: bytes, kind: str) -> dict[str, Any]:
    return {"mediaType": kind, "digest": _digest(blob), "size": len(blob)}


def _digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"
