"""The exceptions that only this client raises, beside those of `prediction.errors`."""

from __future__ import annotations

from prediction.errors import InputRefusedError, UnreachableError


class PictureFileError(InputRefusedError):
    """A file or folder of pictures that cannot be read, or cannot be written to."""


class StackOutputError(UnreachableError):
    """The stack's outputs, which locate the service, are missing or unreadable."""


class KeyRefusedError(UnreachableError):
    """The web service asks for a key: none was sent, or none that it knows."""


class NotExposedError(StackOutputError):
    """The stack has a service, but none that can be reached from outside its cluster."""
