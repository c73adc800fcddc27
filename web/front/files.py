"""What a front is given in files: what its workers serve, and the key that it shows them."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from prediction.description import DescriptionError, Served, read
from prediction.limits import Limits
from web.errors import StartError

MAX_BYTES = 1024 * 1024
_KEY = re.compile(rb"[\x21-\x7e]{1,1000}")

logger = logging.getLogger(__name__)


def served_by_workers(path: str) -> Served:
    """What the workers serve: the file has what the model's signature `describe` answers. Raises
    StartError.

    Of its JSON these count: format, family, fingerprint, profile, precision, samplers, licence,
    signatures, and in limits minSteps, maxSteps, maxPromptBytes, maxPromptTokens, maxGuidanceScale,
    imageSize, defaultSteps, defaultGuidanceScale and defaultNegativePrompt.
    """
    try:
        description = read(_content(path).decode(), Limits())
    except OSError as error:
        raise StartError(f"the description in {path} cannot be read: {error.strerror}") from None
    except (DescriptionError, UnicodeDecodeError) as error:
        why = error if isinstance(error, DescriptionError) else "it is not UTF-8"
        raise StartError(
            f"the description in {path} is not understood: {why}; give what the model's signature "
            "describe answers"
        ) from None
    return Served(description.limits, description, (), frozenset({description.fingerprint}))


class WorkerKey:
    """Read again for each job, so that it is exchanged without a restart. Raises StartError if it
    cannot be read at the start. Later, the key stays as it was."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._key = self._read()
        except (OSError, ValueError) as error:
            raise StartError(_complaint(path, error)) from None

    def header(self) -> dict[str, str]:
        try:
            self._key = self._read()
        except (OSError, ValueError) as error:
            logger.error("%s; the key stays as it was", _complaint(self._path, error))
        return {"authorization": f"Bearer {self._key}"}

    def _read(self) -> str:
        key = _content(self._path).strip()
        if not _KEY.fullmatch(key):
            raise ValueError("it is not one line of plain characters")
        return key.decode()


def _complaint(path: str, error: OSError | ValueError) -> str:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return f"the workers' key in {path} cannot be read: {why}"


def _content(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(MAX_BYTES)
