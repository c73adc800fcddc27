"""The project file Pulumi.yaml: name, program, backend, and config defaults."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from engine.errors import ConfigurationError, EngineError, UnsupportedError
from engine.project import yaml_values

PROJECT_FILES = ("Pulumi.yaml", "Pulumi.yml")


@dataclass(frozen=True)
class ConfigDeclaration:
    """The declaration of a config key in Pulumi.yaml."""

    type: str  # empty: untyped, so not required
    default: object
    has_default: bool


@dataclass(frozen=True)
class Project:
    """A Pulumi project whose program is Python."""

    file: Path
    name: str
    main: str
    virtualenv: str
    backend_url: str
    config: Mapping[str, ConfigDeclaration]
    stack_config_folder: Path
    refreshes_always: bool

    @property
    def root(self) -> Path:
        return self.file.parent

    @property
    def program(self) -> str:
        """The path of the program, relative to its working directory."""
        main = self.root / self.main
        return "." if main.is_dir() else main.name

    @property
    def program_folder(self) -> Path:
        main = self.root / self.main
        return main if main.is_dir() else main.parent

    @property
    def python(self) -> str:
        """The interpreter of the project's virtual environment, or the running one."""
        if self.virtualenv:
            folder = "Scripts" if os.name == "nt" else "bin"
            python = self.root / self.virtualenv / folder / "python"
            if python.exists():
                return str(python)
        return sys.executable

    def full_key(self, key: str) -> str:
        """A config key with its namespace, which defaults to the project's name."""
        return key if ":" in key else f"{self.name}:{key}"


def read_yaml(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file; empty for an empty file."""
    try:
        content = yaml_values.load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise ConfigurationError(f"{file} is not valid YAML: {where}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {file}: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"{file} must hold a mapping at its top level")
    mapping = cast("dict[object, Any]", content)
    return {yaml_values.key_text(key): value for key, value in mapping.items()}


def find_project(folder: Path) -> Project:
    """The project in a folder or in the nearest folder above it."""
    for candidate in (folder, *folder.parents):
        for name in PROJECT_FILES:
            if (candidate / name).is_file():
                return _load(candidate / name)
    raise EngineError(
        f"no Pulumi.yaml project file found (searching upwards from {folder}); "
        "change to the project's folder, or name it with -C"
    )


def _load(file: Path) -> Project:
    content = read_yaml(file)
    name = content.get("name")
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"{file}: `name` is missing; add the project's name")
    runtime: object = content.get("runtime")
    options: dict[str, Any] = {}
    if isinstance(runtime, dict):
        described = cast("dict[str, Any]", runtime)
        options = cast("dict[str, Any]", described.get("options") or {})
        runtime = described.get("name")
    if runtime != "python":
        raise UnsupportedError(f"{file} has the runtime {runtime!r}; only python is supported")
    declared: object = content.get("config") or {}
    if not isinstance(declared, dict):
        raise ConfigurationError(f"{file}: `config` must be a mapping of keys")
    return Project(
        file=file,
        name=name,
        main=str(content.get("main") or "."),
        virtualenv=str(options.get("virtualenv") or ""),
        backend_url=str(_mapping(content, "backend").get("url") or ""),
        config={
            yaml_values.key_text(key): _declaration(value)
            for key, value in cast("dict[object, object]", declared).items()
        },
        stack_config_folder=file.parent / str(content.get("stackConfigDir") or ""),
        refreshes_always=_mapping(content, "options").get("refresh") == "always",
    )


def _mapping(content: dict[str, Any], key: str) -> dict[str, Any]:
    value: object = content.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _declaration(value: object) -> ConfigDeclaration:
    if not isinstance(value, dict):
        return ConfigDeclaration("", value, has_default=True)
    described = cast("dict[str, object]", value)
    for key in ("value", "default"):
        if key in described:
            return ConfigDeclaration(
                str(described.get("type") or ""), described[key], has_default=True
            )
    return ConfigDeclaration(str(described.get("type") or ""), None, has_default=False)
