"""Rules for pods, wherever a Kubernetes object has a template of one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policy.resource import Resource, mapping, mappings, texts

_HARMLESS_CAPABILITIES = {"NET_BIND_SERVICE"}
_SECCOMP_PROFILES = ("RuntimeDefault", "Localhost")
_NODE_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
_SNAKE_CASE = re.compile(r"[a-z]+(_[a-z]+)+")


@dataclass(frozen=True)
class Pod:
    """The spec of a pod, in the resource that has it."""

    owner: Resource
    spec: Mapping[str, Any]

    def __str__(self) -> str:
        return str(self.owner)


@dataclass(frozen=True)
class Container:
    """A container of a pod: a main one, an init container or sidecar, or an ephemeral one."""

    pod: Pod
    spec: Mapping[str, Any]
    is_ephemeral: bool = False

    @property
    def security(self) -> Mapping[str, Any]:
        """Its own security context over the pod's, for the fields that both have."""
        return {
            **mapping(self.pod.spec, "securityContext"),
            **mapping(self.spec, "securityContext"),
        }

    def __str__(self) -> str:
        return f"{self.pod}: container {self.spec.get('name') or '(without a name)'}"


def pods(resources: Iterable[Resource]) -> Iterator[Pod]:
    """Every pod: a bare one, and those in the templates of workloads and custom resources."""
    for one in resources:
        if one.is_kubernetes:
            for spec in _pod_specs(one.inputs):
                yield Pod(one, spec)


def containers(resources: Iterable[Resource]) -> Iterator[Container]:
    """Every container of every pod."""
    for pod in pods(resources):
        for key in ("initContainers", "containers", "ephemeralContainers"):
            for spec in mappings(pod.spec.get(key)):
                yield Container(pod, spec, is_ephemeral=key == "ephemeralContainers")


def no_floating_images(resources: Sequence[Resource]) -> list[str]:
    """Every image is pinned to a version or a digest."""
    images = [(str(one), str(one.spec.get("image") or "")) for one in containers(resources)]
    for pod in pods(resources):
        for volume in mappings(pod.spec.get("volumes")):
            if "image" in volume:
                images.append((f"{pod}: volume", str(mapping(volume, "image").get("reference"))))
    return [
        f"{where}: image {image or '(none)'} is not pinned to a version"
        for where, image in images
        if _is_floating(image)
    ]


def requests_and_limits(resources: Sequence[Resource]) -> list[str]:
    """Every container sets CPU and memory requests and limits."""
    return [
        f"{one} has no {what} in {group}"
        for one in containers(resources)
        if not one.is_ephemeral  # Kubernetes lets them have none
        for group in ("requests", "limits")
        for what in ("cpu", "memory")
        if what not in mapping(one.spec, "resources", group)
    ]


def pods_are_locked_down(resources: Sequence[Resource]) -> list[str]:
    """No container can run as root, gain privileges or write to its root file system."""
    found: list[str] = []
    for one in containers(resources):
        security = one.security
        capabilities = mapping(security, "capabilities")
        if security.get("runAsNonRoot") is not True:
            found.append(f"{one} can run as root")
        if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
            found.append(f"{one} can gain privileges")
        if "ALL" not in texts(capabilities.get("drop")):
            found.append(f"{one} does not drop ALL capabilities")
        for added in texts(capabilities.get("add")):
            if added not in _HARMLESS_CAPABILITIES:
                found.append(f"{one} adds the capability {added}")
        if security.get("readOnlyRootFilesystem") is not True:
            found.append(f"{one} has a writable root file system")
        if mapping(security, "seccompProfile").get("type") not in _SECCOMP_PROFILES:
            found.append(f"{one} has no seccomp profile (seccompProfile: RuntimeDefault)")
    return found


def pods_keep_off_the_node(resources: Sequence[Resource]) -> list[str]:
    """No pod uses its node's network, processes, ports or files."""
    found: list[str] = []
    for pod in pods(resources):
        found += [f"{pod}: sets {key}" for key in _NODE_NAMESPACES if pod.spec.get(key)]
        for volume in mappings(pod.spec.get("volumes")):
            if "hostPath" in volume:
                found.append(f"{pod}: volume {volume.get('name')} is a folder of the node")
    for one in containers(resources):
        for port in mappings(one.spec.get("ports")):
            if port.get("hostPort"):
                found.append(f"{one} takes port {port['hostPort']} of the node")
    for one in resources:
        if one.is_core("PersistentVolume") and "hostPath" in mapping(one.inputs, "spec"):
            found.append(f"{one}: is a folder of the node")
    return found


def no_token_by_default(resources: Sequence[Resource]) -> list[str]:
    """No pod gets a token for the Kubernetes API that it does not ask for."""
    found: list[str] = []
    for pod in pods(resources):
        asked = pod.spec.get("automountServiceAccountToken")
        if asked is None:
            found.append(f"{pod}: does not say automountServiceAccountToken: false")
        elif asked and pod.spec.get("serviceAccountName", "default") == "default":
            found.append(f"{pod}: mounts a token of the default service account")
    return found


def secrets_are_files(resources: Sequence[Resource]) -> list[str]:
    """Every Secret is mounted as a folder, so that a change reaches the pods that run."""
    found: list[str] = []
    for one in containers(resources):
        values = [mapping(item, "valueFrom", "secretKeyRef") for item in _items(one, "env")]
        whole = [mapping(item, "secretRef") for item in _items(one, "envFrom")]
        if any(values) or any(whole):
            found.append(f"{one} has a Secret in its environment")
        secrets = {
            str(volume.get("name"))
            for volume in mappings(one.pod.spec.get("volumes"))
            if "secret" in volume
            or any(
                "secret" in part for part in mappings(mapping(volume, "projected").get("sources"))
            )
        }
        for mount in _items(one, "volumeMounts"):
            if str(mount.get("name")) in secrets and (
                mount.get("subPath") or mount.get("subPathExpr")
            ):
                found.append(f"{one} mounts a part of the Secret in volume {mount.get('name')}")
    return found


def _items(container: Container, key: str) -> list[Mapping[str, Any]]:
    return mappings(container.spec.get(key))


def names_of_the_api(resources: Sequence[Resource]) -> list[str]:
    """Pods are written in Kubernetes' own camelCase, in which custom resources are sent as is."""
    found: list[str] = []
    for pod in pods(resources):
        found += _python_names(str(pod), pod.spec)
        found += _python_names(f"{pod}: securityContext", mapping(pod.spec, "securityContext"))
    for one in containers(resources):
        found += _python_names(str(one), one.spec)
        for part in ("securityContext", "resources"):
            found += _python_names(f"{one}: {part}", mapping(one.spec, part))
    return found


def _python_names(where: str, spec: Mapping[str, Any]) -> list[str]:
    return [
        f"{where} has {key}, which Kubernetes does not know" for key in spec if _is_snake_case(key)
    ]


def _is_snake_case(key: str) -> bool:
    return _SNAKE_CASE.fullmatch(key) is not None


def _pod_specs(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Below specs and templates (`spec`, `template`, `jobTemplate`, `workerTemplate` and so on)."""
    for key in value:
        if key == "spec" or key.lower().endswith("template"):
            inner = mapping(value, key)
            if mappings(inner.get("containers")):
                yield inner
            yield from _pod_specs(inner)


def _is_floating(image: str) -> bool:
    """Whether the image has neither a digest nor a tag that is a version, which has a digit."""
    path, _, digest = image.partition("@")
    tag = path.rpartition("/")[2].partition(":")[2]
    return not digest and (tag.startswith(("latest", "nightly")) or not re.search(r"\d", tag))
