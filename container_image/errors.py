"""What can go wrong, each told in one line."""


class ImageError(Exception):
    """The image cannot be made or pushed: what is wrong, and what to do."""


class RegistryError(ImageError):
    """A registry refuses a request, or cannot be reached."""


class TransientError(RegistryError):
    """It may succeed if it is tried again."""


class RefusedError(RegistryError):
    """An answer that was not expected."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class KeptError(RegistryError):
    """A registry that lets nobody delete an image."""


class StoppedError(ImageError):
    """Whoever asked for the image has stopped waiting for it."""
