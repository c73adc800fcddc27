"""What goes wrong, as exceptions shown to a person in one line, and the CLI's exit codes."""

from __future__ import annotations

# The official CLI's taxonomy of exit codes.
EXIT_ERROR = 1
EXIT_CONFIGURATION = 2
EXIT_STACK_NOT_FOUND = 6
EXIT_CHANGES = 7  # changes where --expect-no-changes was given
EXIT_CANCELLED = 8
EXIT_INTERNAL = 255

INSTALL_HINT = "install the Pulumi CLI (https://www.pulumi.com/docs/install/) and use `pulumi`"


class EngineError(Exception):
    """A one-line message that says what is wrong, where, and what to do."""

    exit_code = EXIT_ERROR


class ConfigurationError(EngineError):
    """The invocation, the project file or the stack's config cannot be used as it is."""

    exit_code = EXIT_CONFIGURATION


class StackNotFoundError(EngineError):
    """The named stack has no checkpoint in the backend."""

    exit_code = EXIT_STACK_NOT_FOUND


class ChangesFoundError(EngineError):
    """--expect-no-changes was given, and there are changes."""

    exit_code = EXIT_CHANGES


class CancelledError(EngineError):
    """The user, or a signal, asked to stop."""

    exit_code = EXIT_CANCELLED


class UnsupportedError(EngineError):
    """The program, the state or the project asks for something only the official engine can do."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the embedded engine cannot run this: {what}; {INSTALL_HINT}")


class OperationFailedError(EngineError):
    """The display has shown everything there is to say; only the exit code is left."""


class ProviderError(Exception):
    """A provider call failed; the message is the provider's own text, possibly a traceback."""
