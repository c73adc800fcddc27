"""The files that flags name, in protobuf's text format."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from google.protobuf.message import Message

from devserver.errors import StartError


def read(flag: str, path: str, message: Message) -> None:
    """Fills `message` from a file.

    Raises:
        StartError: the file cannot be read or parsed; `flag` is named in the message.
    """
    try:
        text_format.Parse(Path(path).read_text(encoding="utf-8"), message)
    except OSError as error:
        raise StartError(f"--{flag}: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StartError(f"--{flag}: {path} is not UTF-8 text") from error
    except text_format.ParseError as error:
        raise StartError(f"--{flag}: Invalid protobuf file: {path!r}: {error}") from error
