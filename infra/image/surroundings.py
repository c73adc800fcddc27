"""What the resources' providers give to `container_image`, and what they make of its errors."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING

from console import provider_process, say

if TYPE_CHECKING:
    from container_image.publish import Surroundings


def surroundings(repository: str) -> Surroundings:
    """repository: where the image is pushed to."""
    from container_image.publish import Surroundings
    from infra.image.logins import logins

    return Surroundings(logins(repository), provider_process.cancelled, say)


@contextlib.contextmanager
def in_one_line() -> Generator[None]:
    """A RuntimeError is shown as its message alone, and others with a traceback."""
    from container_image.errors import ImageError

    try:
        yield
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise RuntimeError(f"{place}{error.strerror or error}") from error
    except ImageError as error:
        raise RuntimeError(str(error)) from None
