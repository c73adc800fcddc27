"""The web container of a pod as a process: what the kubelet would start, on ports of its own."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.container_image.alone import alone
from tests.gke.checks import only
from tests.gke.lab import Lab
from tests.web.running import WebProcess

_ELSEWHERE = ("--host=", "--port=", "--metrics-port=", "--model-server=")
"""Its addresses in the pod."""


@dataclass(frozen=True)
class WebPod:
    """name: of the Secret with its keys, which are in `folder`."""

    dev: Lab
    process: WebProcess
    name: str
    folder: Path

    def bring_keys(self) -> None:
        """What the Secret holds, as the kubelet brings it within a minute."""
        bring(self.dev, self.name, self.folder)


@contextlib.contextmanager
def web_pod(dev: Lab, folder: Path, model_server: str) -> Generator[WebPod]:
    """From the registry's image, with the container's own command line and the cluster's keys."""
    folder.mkdir()
    pod = only(dev.ready_pods())
    container = only_named(pod["spec"]["containers"], "web")
    mount = only_named(container["volumeMounts"], "web-keys")
    secret = only_named(pod["spec"]["volumes"], "web-keys")["secret"]["secretName"]
    keys = folder / "keys"
    bring(dev, secret, keys)
    options = [
        option.replace(mount["mountPath"], str(keys))
        for option in container["args"]
        if not option.startswith(_ELSEWHERE)
    ]
    layer = dev.registry.unpack(container["image"], folder)
    with WebProcess([model_server], options, alone(layer)) as process:
        yield WebPod(dev, process, secret, keys)


def bring(dev: Lab, secret: str, folder: Path) -> None:
    """Files are links into `..data`, itself a link to a folder that is exchanged as a whole."""
    found = only([one for one in dev.get("v1/secrets") if one["metadata"]["name"] == secret])
    version = folder / f"..{found['metadata']['resourceVersion']}"
    version.mkdir(parents=True)
    for name, content in found["data"].items():
        (version / name).write_bytes(base64.b64decode(content))
        with contextlib.suppress(FileExistsError):
            (folder / name).symlink_to(f"..data/{name}")
    fresh, data = folder / "..data_tmp", folder / "..data"
    fresh.symlink_to(version.name)
    old = data.resolve() if data.is_symlink() else None
    os.replace(fresh, data)  # noqa: PTH105
    if old is not None:
        shutil.rmtree(old)


def only_named(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = (one for one in objects if one["name"] == name)
    return found
