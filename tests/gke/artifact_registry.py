"""A stand-in for Artifact Registry: a real registry under Google's name, with Google's login.

A program whose `HTTPS_PROXY` is the stand-in finds it there, and nothing else.
"""

from __future__ import annotations

import contextlib
import ssl
import tarfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.container_image.checkouts import push_base
from tests.container_image.debian_registry import debian_registry
from tests.container_image.gate import Gate, GateHandler, gate_before
from tests.gke.google_cloud import GoogleCloud

HOST = "us-central1-docker.pkg.dev"
TOKEN = "t"
"""Of the stand-in for Google's token server."""
_BASES = "elsewhere/bases"
BASE = f"{HOST}/{_BASES}/python:nonroot"
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class ArtifactRegistry:
    gate: Gate
    """What everybody but the nodes goes through."""

    @property
    def proxy(self) -> str:
        return f"http://{self.gate.host}"

    def pushes(self) -> list[str]:
        return [one for one in self.gate.asked if one.split()[0] not in ("GET", "HEAD")]

    def images(self) -> set[str]:
        """Those that were pushed here and can be pulled."""
        pushed = [one.split()[1] for one in self.pushes() if one.startswith("PUT /v2/")]
        names = {
            f"{HOST}{path.removeprefix('/v2').replace('/manifests/', '@')}"
            for path in pushed
            if "/manifests/" in path
        }
        return {name for name in names if self.has(name)}

    def has(self, image: str) -> bool:
        """Whether a node can pull it. image: with its digest."""
        return self._manifest(image).ok

    def unpack(self, image: str, folder: Path) -> Path:
        """The image's last layer, in `folder`."""
        layer = self._manifest(image).json()["layers"][-1]["digest"]
        repository = image.partition("/")[2].partition("@")[0]
        answer = self._get(f"{repository}/blobs/{layer}")
        file = folder / "layer.tar.gz"
        file.write_bytes(answer.content)
        with tarfile.open(file) as archive:
            archive.extractall(folder, filter="data")
        return folder

    def _manifest(self, image: str) -> requests.Response:
        name, _, digest = image.partition("/")[2].partition("@")
        return self._get(f"{name}/manifests/{digest}")

    def _get(self, path: str) -> requests.Response:
        accepted = {"Accept": "application/vnd.oci.image.manifest.v1+json, */*"}
        url = f"http://{self.gate.behind}/v2/{path}"
        return requests.get(url, headers=accepted, timeout=_TIMEOUT_SECONDS)


class _ProxyHandler(GateHandler):
    """Answers as a proxy, and then behind TLS as the registry."""

    tls: ssl.SSLContext

    def do_CONNECT(self) -> None:
        if self.path != f"{HOST}:443":
            self.send_error(502, f"nobody but {HOST} is here")
            return
        self.send_response(200)
        self.end_headers()
        self.request = self.tls.wrap_socket(self.request, server_side=True)
        self.setup()
        self.close_connection = False  # though some ask a proxy in HTTP/1.0

    def finish(self) -> None:
        super().finish()
        self.request.close()


@contextlib.contextmanager
def artifact_registry(
    folder: Path, google: GoogleCloud, certificate: Path, key: Path
) -> Generator[ArtifactRegistry]:
    """With a base image that others have pushed. certificate: its own, for HOST."""
    folder.mkdir()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)

    def has(repository: str) -> bool:
        project_and_name = repository.rpartition("/")[0]
        found = google.resources("Repository").values()
        return project_and_name in (_BASES, *(one["path"] for one in found))

    handler = type("Handler", (_ProxyHandler,), {"tls": tls})
    with (
        debian_registry(folder, relative=True) as host,
        gate_before(
            host, handler, wants="token", user="oauth2accesstoken", password=TOKEN, has=has
        ) as gate,
    ):
        push_base(host, f"{_BASES}/python", settings={"Entrypoint": None})
        yield ArtifactRegistry(gate)
