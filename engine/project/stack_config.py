"""Pulumi.STACK.yaml: a stack's config values and the salt of its secrets.

Programs and providers get every value as a string, structured ones as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml

from engine.errors import ConfigurationError, UnsupportedError
from engine.project import yaml_values
from engine.project.passphrase import Crypter
from engine.project.project_file import ConfigDeclaration, Project, read_yaml
from engine.project.yaml_values import as_string, key_text
from engine.state import files
from engine.values import REDACTED, PropertyMap, Secret

_SALT_KEY = "encryptionsalt"
# What may precede the first line of a YAML document: a byte order mark, comments, and `---`.
_DOCUMENT_START = re.compile(r"\ufeff?(?:(?:[#%].*|[ \t]*)\n)*---[ \t]*(?:#.*)?\n|\ufeff?")


@dataclass(frozen=True)
class StackConfig:
    """The resolved config: a string for every full key, and which keys are secret."""

    values: Mapping[str, str]
    secret_keys: frozenset[str]
    # As written to history entries, with secrets encrypted.
    recorded: Mapping[str, object]
    # The values with `[secret]` in place of each secret.
    redacted: Mapping[str, str]
    # Every decrypted text, to be hidden in all that is shown.
    secrets: tuple[str, ...]

    def provider_inputs(self) -> PropertyMap:
        """The inputs of the default provider: the whole config, with secrets marked."""
        return {
            key: Secret(value) if key in self.secret_keys else value
            for key, value in sorted(self.values.items())
        }


@dataclass(frozen=True)
class StackFile:
    """The content of Pulumi.STACK.yaml."""

    path: Path
    salt: str
    config: Mapping[str, object]

    def write_salt(self, salt: str) -> None:
        """Add the salt at the top of the file."""
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        start = _DOCUMENT_START.match(text)
        assert start is not None  # it also matches nothing
        line = f"{_SALT_KEY}: {salt}\n"
        changed = text[: start.end()] + line + text[start.end() :]
        before = cast("dict[object, object]", yaml_values.load(text) or {})
        try:
            after = yaml_values.load(changed)
        except yaml.YAMLError:
            after = None
        if after != {_SALT_KEY: salt, **before}:
            raise ConfigurationError(
                f"{self.path} is written in a way to which the salt of its secrets cannot be "
                f"added: add `{_SALT_KEY}: {salt}` at its top level"
            )
        files.write_atomically(self.path, changed)


def read_stack_file(project: Project, stack: str) -> StackFile:
    """The stack's config file; a missing one counts as empty."""
    path = project.stack_config_folder / f"Pulumi.{stack}.yaml"
    content = read_yaml(path) if path.exists() else {}
    for key in ("secretsprovider", "encryptedkey"):
        if content.get(key) and content.get(key) != "passphrase":
            raise UnsupportedError(f"{path} sets `{key}`; only passphrase secrets are supported")
    if content.get("environment"):
        raise UnsupportedError(f"{path} imports environments, which need Pulumi Cloud")
    config: object = content.get("config") or {}
    if not isinstance(config, dict):
        raise ConfigurationError(f"{path}: `config` must be a mapping of keys")
    by_name = {key_text(key): value for key, value in cast("dict[object, object]", config).items()}
    return StackFile(path, str(content.get(_SALT_KEY) or ""), by_name)


def resolve(project: Project, stack: str, file: StackFile, crypter: Crypter) -> StackConfig:
    """The stack's decrypted config, with the project's defaults."""
    values: dict[str, str] = {}
    recorded: dict[str, object] = {}
    redacted: dict[str, str] = {}
    secret_keys: set[str] = set()
    secrets: list[str] = []
    for key, given in file.config.items():
        full_key = project.full_key(key)
        before = len(secrets)
        values[full_key] = as_string(_open(given, crypter, secrets))
        recorded[full_key] = values[full_key]
        if len(secrets) > before:
            recorded[full_key] = given
            redacted[full_key] = as_string(_redacted(given))
            secret_keys.add(full_key)
    missing: list[str] = []
    for key, declared in project.config.items():
        full_key = project.full_key(key)
        if full_key not in values and declared.has_default:
            values[full_key] = recorded[full_key] = as_string(declared.default)
        elif full_key not in values and declared.type:
            missing.append(key)
        if full_key in values:
            _check_type(stack, key, declared, values[full_key])
    if missing:
        keys = ", ".join(f"'{key}'" for key in sorted(missing))
        raise ConfigurationError(
            f"Stack '{stack}' is missing configuration value {keys}: "
            f"set it in {file.path.name} under `config:`"
        )
    shown = dict(sorted({**values, **redacted}.items()))
    return StackConfig(values, frozenset(secret_keys), recorded, shown, tuple(secrets))


def _open(value: object, crypter: Crypter, secrets: list[str]) -> object:
    """The value with every `{secure: ...}` decrypted; the decrypted texts go to `secrets`."""
    if isinstance(value, dict):
        mapping = cast("dict[object, object]", value)
        if set(mapping) == {"secure"}:
            secrets.append(crypter.decrypt(str(mapping["secure"])))
            return secrets[-1]
        return {key_text(key): _open(item, crypter, secrets) for key, item in mapping.items()}
    if isinstance(value, list):
        return [_open(item, crypter, secrets) for item in cast("list[object]", value)]
    return value


def _redacted(value: object) -> object:
    """The value with `[secret]` in place of every `{secure: ...}`."""
    if isinstance(value, dict):
        mapping = cast("dict[object, object]", value)
        if set(mapping) == {"secure"}:
            return REDACTED
        return {key: _redacted(item) for key, item in mapping.items()}
    if isinstance(value, list):
        return [_redacted(item) for item in cast("list[object]", value)]
    return value


def _check_type(stack: str, key: str, declared: ConfigDeclaration, value: str) -> None:
    def parses(convert: type[int] | type[float]) -> bool:
        try:
            convert(value)
        except ValueError:
            return False
        return True

    fits = {
        "integer": lambda: parses(int),
        "number": lambda: parses(float),
        "boolean": lambda: value in ("true", "false"),
        "array": lambda: value.startswith("["),
        "object": lambda: value.startswith("{"),
    }.get(declared.type)
    if fits is not None and not fits():
        raise ConfigurationError(
            f"Stack '{stack}' with configuration key '{key}' must be of type '{declared.type}'"
        )
