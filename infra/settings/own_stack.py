"""A stack file of one's own: a copy of another, such as Pulumi.dev.yaml, with one's own settings.

`python -m infra.settings.own_stack --stack mine --from dev gcp:project=my-project` writes
Pulumi.mine.yaml, which git ignores. Comments and order stay as they are in the other file.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import yaml

from console import run_command
from console.invocation import started_as
from infra.settings import keys, project_file, stack, unread
from infra.settings.values import SettingsError

_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*/)*[A-Za-z0-9][A-Za-z0-9_.-]*")
_OF_ANOTHER_STACK = ("encryptionsalt", "encryptedkey", "secretsprovider")
"""What belongs to the secrets of the stack whose file is copied."""
_PLAIN = re.compile(r"0|[1-9][0-9]*|true|false")


class OwnStackError(Exception):
    """The file is not written; says why, and what to do."""


def write(name: str, source: str, settings: Sequence[str]) -> str:
    """Write the stack's file, and return its name. The settings are texts KEY=VALUE."""
    if name == "local" or not _NAME.fullmatch(name):
        raise OwnStackError("name your stack, with letters and digits, such as STACK=mine")
    if source == "local":
        raise OwnStackError("FROM must be a stack on GKE, such as dev: local has its own file")
    original, file = project_file.stack_file(source), project_file.stack_file(name)
    project = project_file.project_name()
    chosen = _chosen(settings, project)
    try:
        text = original.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise OwnStackError(f"there is no {original.name} to copy (FROM={source})") from None
    header = f"# Made from {original.name}; git ignores this file.\n"
    content = header + changed(text, chosen, project)
    _check(content, chosen, project)
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(content)
    except FileExistsError:
        raise OwnStackError(f"{file.name} exists; edit it, or choose another STACK") from None
    return file.name


def changed(text: str, settings: Mapping[str, str], project: str) -> str:
    """The text of a stack's file with these settings, by full keys, and without its secrets' salt.

    Raises OwnStackError where the file has secrets, or is not written in the usual way.
    """
    edits: list[_Edit] = []
    config: yaml.MappingNode | None = None
    root = cast("yaml.Node | None", yaml.compose(text))  # pyright: ignore[reportUnknownMemberType]
    for key, value in _entries(root):
        if key.value in _OF_ANOTHER_STACK:
            edits.append(_Edit(key.start_mark.index, _line_end(text, value), ""))
        if key.value == "config" and isinstance(value, yaml.MappingNode):
            config = value
    entries = _entries(config)
    if config is None or config.flow_style or not entries:
        raise OwnStackError("the copied file has no settings under `config:`, a line each")
    left = dict(settings)
    for key, value in entries:
        full_key = project_file.full_key(str(key.value), project)
        if not isinstance(value, yaml.ScalarNode):
            raise OwnStackError(f"{full_key} in the copied file is a secret, or no single value")
        if full_key in left:
            written = _written(left.pop(full_key))
            edits.append(_Edit(value.start_mark.index, value.end_mark.index, written))
    end, indent = _line_end(text, entries[-1][1]), " " * entries[-1][0].start_mark.column
    added = "".join(f"{indent}{key}: {_written(value)}\n" for key, value in left.items())
    before = "" if text[:end].endswith("\n") else "\n"
    edits.append(_Edit(end, end, before + added if added else ""))
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


class _Edit(NamedTuple):
    """The text between two positions is replaced."""

    start: int
    end: int
    text: str


def _entries(node: yaml.Node | None) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        return []
    found = cast("list[tuple[yaml.Node, yaml.Node]]", node.value)
    return [(key, value) for key, value in found if isinstance(key, yaml.ScalarNode)]


def _line_end(text: str, node: yaml.Node) -> int:
    """The position after the line on which a value ends."""
    index = node.end_mark.index
    if index and text[index - 1] == "\n":  # of a block of lines
        return index
    return text.find("\n", index) + 1 or len(text)


def _written(value: str) -> str:
    """A value as YAML that every version reads alike."""
    return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)


def _chosen(settings: Sequence[str], project: str) -> dict[str, str]:
    """The settings by full key."""
    chosen: dict[str, str] = {}
    for text in settings:
        key, is_given, value = text.partition("=")
        if not is_given:
            raise OwnStackError(f"{text!r} must be KEY=VALUE, such as maxNodes=1")
        full_key = project_file.full_key(key, project)
        own = full_key.removeprefix(f"{project}:")
        if own not in stack.KEYS and not full_key.startswith("gcp:"):
            meant = unread.likely(key, stack.KEYS)
            raise OwnStackError(
                f"{key} is not a setting"
                + (f"; did you mean {meant}?" if meant else "; Pulumi.yaml lists them")
            )
        if own == keys.API_KEYS:
            raise OwnStackError("keys are not written as text: `make key` draws and sets them")
        chosen[full_key] = value
    return chosen


def _check(content: str, chosen: Mapping[str, str], project: str) -> None:
    """Raise OwnStackError unless the file says what it should, and is valid."""
    try:
        config = cast("dict[str, Any]", yaml.safe_load(content)["config"])
    except (yaml.YAMLError, KeyError, TypeError):
        config = {}
    values = {str(key): project_file.as_text(value) for key, value in config.items()}
    said = {project_file.full_key(key, project): value for key, value in values.items()}
    if any(said.get(key) != value for key, value in chosen.items()):
        raise OwnStackError("the copied file is written in a way that settings cannot be added to")
    prefix = f"{project}:"
    own = {key.removeprefix(prefix): value for key, value in said.items() if key.startswith(prefix)}
    own[keys.API_KEYS] = keys.PLACEHOLDER  # they are set once there is a stack to encrypt them for
    try:
        stack.parse(project_file.defaults() | own, said.get("gcp:project"))
    except SettingsError as error:
        add = project_file.MAKE_VARIABLES.get(error.key, "")
        raise OwnStackError(
            f"{error.key}: {error.problem}" + (f"; give make {add}" if add else "")
        ) from None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog=started_as("infra.settings.own_stack"),
        description="Write a stack file of your own: a copy of another with your settings.",
        epilog="example: %(prog)s --stack mine --from dev gcp:project=my-project maxNodes=1",
    )
    parser.add_argument("--stack", required=True, help="the name of your stack")
    parser.add_argument("--from", required=True, dest="source", help="the stack to copy")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="a setting of Pulumi.yaml")
    options = parser.parse_args(arguments)
    try:
        file = write(options.stack, options.source, options.settings)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        file = project_file.stack_file(options.source).name
        print(f"error: {file} cannot be read: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except (OwnStackError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"wrote {file}: edit it whenever you like; git ignores it")
    print(f"next  make key STACK={options.stack} NAME=alice")
    return 0


if __name__ == "__main__":
    run_command(main)
