"""Names of images, such as gcr.io/distroless/python3-debian13:nonroot."""

from __future__ import annotations

import re
from dataclasses import dataclass

from container_image.errors import ImageError

_DOCKER_HUB = "docker.io"
_DOCKER_HUB_REGISTRY = "registry-1.docker.io"
_REFERENCE = re.compile(
    r"(?P<name>[a-z0-9._-]+(:[0-9]+)?(/[a-z0-9._-]+)*?)"
    r"(:(?P<tag>\w[\w.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Reference:
    """An image in a registry. `name` is as it was written, without tag and digest."""

    name: str
    tag: str = ""
    digest: str = ""

    @property
    def host(self) -> str:
        """The registry's, with its port."""
        return self._split()[0]

    @property
    def repository(self) -> str:
        return self._split()[1]

    @property
    def version(self) -> str:
        """What to ask the registry for."""
        return self.digest or self.tag

    def pinned(self, digest: str) -> Reference:
        return Reference(self.name, self.tag, digest)

    def _split(self) -> tuple[str, str]:
        first, _, rest = self.name.partition("/")
        if rest and first != _DOCKER_HUB and (set(first) & set(".:") or first == "localhost"):
            return first, rest
        repository = rest if first == _DOCKER_HUB else self.name
        official = "" if "/" in repository else "library/"
        return _DOCKER_HUB_REGISTRY, official + repository

    def __str__(self) -> str:
        tag = self.tag and f":{self.tag}"
        return f"{self.name}{tag}{self.digest and f'@{self.digest}'}"


def parse(text: str) -> Reference:
    """Raises ImageError."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ImageError(f"{text!r} is no name of an image, such as registry.example/web:1.0")
    return Reference(found["name"], found["tag"] or "", found["digest"] or "")
