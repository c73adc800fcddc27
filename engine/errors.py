"""The engine's exceptions, each shown to the user in one line, and the CLI's exit codes."""

from __future__ import annotations

# The official CLI's taxonomy of exit codes.
EXIT_ERROR = 1
EXIT_CONFIGURATION = 2
EXIT_STACK_NOT_FOUND = 6
EXIT_CHANGES = 7  # changes where --expect-no-changes was given
EXIT_CANCELLED = 8

INSTALL_HINT = "install the Pulumi CLI (https://www.pulumi.com/docs/install/) and use `pulumi`"


class EngineError(Exception):
    """An error the user can act on; the message is one line."""

    exit_code = EXIT_ERROR


class ConfigurationError(EngineError):
    """The command line, the project file or the stack's config is invalid."""

    exit_code = EXIT_CONFIGURATION


class StackNotFoundError(EngineError):
    """The backend has no checkpoint of this stack."""

    exit_code = EXIT_STACK_NOT_FOUND


class ChangesFoundError(EngineError):
    """There are changes despite --expect-no-changes."""

    exit_code = EXIT_CHANGES


class CancelledError(EngineError):
    """Cancelled by the user or a signal."""

    exit_code = EXIT_CANCELLED


class UnsupportedError(EngineError):
    """The program, the state or the project needs a feature only the official engine has."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the embedded engine cannot run this: {what}; {INSTALL_HINT}")


class OperationFailedError(EngineError):
    """The display has already shown the error; only the exit code is left."""


class ProviderError(Exception):
    """A provider call failed; the message comes from the provider, possibly with a traceback."""
