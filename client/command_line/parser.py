"""How the command line reads what was typed: errors in one line, and text in any locale."""

from __future__ import annotations

import argparse
import itertools
import os
from typing import Any, NoReturn

from client.exit_codes import EXIT_USAGE
from prediction.errors import printable


class OneLineParser(argparse.ArgumentParser):
    """argparse with one-line usage errors, and help texts formatted as written."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **options, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def parse_known_args(self, *given: Any, **options: Any) -> Any:
        """argparse would call the value of an unknown option a second prompt, and say only that."""
        if self._subparsers is None and given:
            for argument in itertools.takewhile(lambda one: one != "--", given[0] or ()):
                name = argument.partition("=")[0]
                is_option = name.startswith("--") and " " not in name
                if is_option and name not in self._option_string_actions:
                    self.error(f"unrecognized arguments: {name}")
        return super().parse_known_args(*given, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"error: {printable(message)}; see {self.prog} --help\n")


def typed_text(argument: str) -> str:
    """An argument's text: UTF-8 where the locale's encoding could not decode it.

    What is neither stays as it is, and is refused with the other limits of a prompt.
    """
    try:
        return argument if _is_text(argument) else os.fsencode(argument).decode()
    except UnicodeDecodeError:
        return argument


def _is_text(argument: str) -> bool:
    # Python keeps bytes that it cannot decode as surrogates (PEP 383).
    return not any("\udc80" <= character <= "\udcff" for character in argument)
