"""Names of images, and the registries that they mean."""

from __future__ import annotations

import pytest

from container_image.errors import ImageError
from container_image.reference import parse

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "host", "repository", "version"),
    [
        ("gcr.io/distroless/python3:nonroot", "gcr.io", "distroless/python3", "nonroot"),
        ("python:3.13-slim", "registry-1.docker.io", "library/python", "3.13-slim"),
        ("docker.io/library/python:3", "registry-1.docker.io", "library/python", "3"),
        ("docker.io/python:3", "registry-1.docker.io", "library/python", "3"),
        ("someone/image:1", "registry-1.docker.io", "someone/image", "1"),
        ("localhost/image:1", "localhost", "image", "1"),
        ("127.0.0.1:5000/a/web", "127.0.0.1:5000", "a/web", ""),
        (f"gcr.io/a/b:tag@{DIGEST}", "gcr.io", "a/b", DIGEST),
    ],
)
def test_a_name_means_a_repository_of_a_registry(
    text: str, host: str, repository: str, version: str
) -> None:
    found = parse(text)
    assert (found.host, found.repository, found.version) == (host, repository, version)
    assert str(found) == text


def test_a_pinned_name_keeps_its_tag_for_people() -> None:
    assert str(parse("gcr.io/a/b:nonroot").pinned(DIGEST)) == f"gcr.io/a/b:nonroot@{DIGEST}"


@pytest.mark.parametrize("text", ["", "a b", "https://gcr.io/a", "a@sha256:1", "a:", "A/b"])
def test_what_is_no_name_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ImageError, match="is no name of an image, such as"):
        parse(text)
