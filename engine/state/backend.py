"""The file backend: a folder with the checkpoints, locks, history and backups of stacks.

.pulumi/meta.yaml                                      version of this layout
.pulumi/stacks/PROJECT/STACK.json, .json.bak           checkpoint, and the previous one
.pulumi/locks/organization/PROJECT/STACK/*.json        locks
.pulumi/history/PROJECT/STACK/STACK-NS.history.json    one entry per operation, and
                        ...STACK-NS.checkpoint.json    the checkpoint after it
.pulumi/backups/PROJECT/STACK/STACK.NS.json            the same checkpoint
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from engine.errors import ConfigurationError, EngineError, StackNotFoundError, UnsupportedError
from engine.project.project_file import Project
from engine.project.workspace import logged_in_backend
from engine.state import checkpoint, files, locks

_FILE_SCHEME = "file://"
_LAYOUT_VERSION = 1
_STACK_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def backend_url(project: Project) -> str:
    """The backend from PULUMI_BACKEND_URL, Pulumi.yaml or `pulumi login`, in this order."""
    url = os.environ.get("PULUMI_BACKEND_URL") or project.backend_url or logged_in_backend()
    if not url:
        raise ConfigurationError(
            "no backend is set: set PULUMI_BACKEND_URL to a folder, such as file://$PWD/.state"
        )
    if not url.startswith(_FILE_SCHEME):
        raise UnsupportedError(f"the backend {url} is not a file:// folder")
    return url


def parse_stack_name(text: str, project: Project) -> str:
    """STACK, organization/STACK or organization/PROJECT/STACK."""
    *qualifiers, name = text.split("/")
    if qualifiers[:1] not in ([], ["organization"]) or qualifiers[1:] not in ([], [project.name]):
        raise ConfigurationError(
            f"the stack {text!r} does not belong to this project: name it "
            f"organization/{project.name}/{name}, or just {name}"
        )
    if not _STACK_NAME.fullmatch(name):
        raise ConfigurationError(
            "a stack name may only contain alphanumeric characters, hyphens, underscores, or "
            f"periods, and 1 to 100 of them: {name!r}"
        )
    return name


@dataclass(frozen=True)
class Backend:
    """The file backend of one project."""

    url: str
    folder: Path
    project: Project

    @staticmethod
    def open(project: Project) -> Backend:
        """The project's backend; its folder may not exist yet."""
        url = backend_url(project)
        # As in any URL, "#" and "?" end the path, and "%" starts the code of a character.
        path = re.split("[?#]", url.removeprefix(_FILE_SCHEME))[0]
        path = os.fsdecode(unquote_to_bytes(os.fsencode(path)))
        folder = Path(os.path.abspath(os.path.expanduser(path))) / ".pulumi"  # noqa: PTH100, PTH111
        backend = Backend(url, folder, project)
        backend._require_layout()
        return backend

    def _require_layout(self) -> None:
        meta = self.folder / "meta.yaml"
        if meta.exists():
            match = re.search(r"version:\s*(\d+)", meta.read_text(encoding="utf-8"))
            if not match or int(match[1]) != _LAYOUT_VERSION:
                raise UnsupportedError(f"{meta} names a backend layout other than version 1")
        elif any((self.folder / "stacks").glob("*.json*")):
            raise UnsupportedError(f"{self.folder} has the legacy layout, without projects")

    def stack_names(self) -> list[str]:
        """The project's stacks."""
        return sorted(
            file.name.removesuffix(".json")
            for file in (self.folder / "stacks" / self.project.name).glob("*.json")
        )

    def stack(self, name: str) -> StackFiles:
        """The files of a stack, which may not exist."""
        return StackFiles(self, name)

    def existing_stack(self, name: str) -> StackFiles:
        """The files of an existing stack; StackNotFoundError if there is none."""
        stack = self.stack(name)
        if not stack.exists:
            raise StackNotFoundError(f"no stack named '{name}' found")
        return stack


@dataclass(frozen=True)
class StackFiles:
    """One stack's files in the backend."""

    backend: Backend
    name: str

    @property
    def project(self) -> str:
        return self.backend.project.name

    @property
    def checkpoint(self) -> Path:
        return self.backend.folder / "stacks" / self.project / f"{self.name}.json"

    @property
    def lock_folder(self) -> Path:
        return self.backend.folder / "locks" / "organization" / self.project / self.name

    @property
    def history_folder(self) -> Path:
        return self.backend.folder / "history" / self.project / self.name

    @property
    def backup_folder(self) -> Path:
        return self.backend.folder / "backups" / self.project / self.name

    @property
    def exists(self) -> bool:
        for suffix in (".gz", ".zst"):
            compressed = self.checkpoint.with_name(self.checkpoint.name + suffix)
            if compressed.exists():
                raise UnsupportedError(f"{compressed} is a compressed checkpoint")
        return self.checkpoint.exists()

    @contextlib.contextmanager
    def lock(self) -> Generator[Path]:
        """Hold the stack's lock, after cleaning up after killed holders."""
        for stale in locks.remove_stale_locks(self.lock_folder):
            print(
                f"warning: removed the stale lock of {stale}: that process no longer runs",
                flush=True,
            )
        with locks.held(self.lock_folder) as mine:
            files.remove_temporaries(self.checkpoint.parent, self.checkpoint.name)
            yield mine

    def read_deployment(self) -> dict[str, Any]:
        """The deployment in the checkpoint; empty if the stack was never deployed."""
        try:
            content: object = json.loads(self.checkpoint.read_text(encoding="utf-8"))
        except ValueError as error:
            raise EngineError(
                f"{self.checkpoint} is not valid JSON ({error}); restore it from "
                f"{self.checkpoint.name}.bak in the same folder"
            ) from None
        return checkpoint.deployment_of(content, str(self.checkpoint))

    def write_deployment(self, deployment: Mapping[str, Any] | None) -> None:
        """Replace the checkpoint, keeping the previous one as .bak."""
        meta = self.backend.folder / "meta.yaml"
        if not meta.exists():
            files.write_atomically(meta, f"version: {_LAYOUT_VERSION}\n")
        if self.checkpoint.exists():
            before = self.checkpoint.read_text(encoding="utf-8")
            files.write_atomically(self._backup_of_checkpoint, before, durable=False)
        text = checkpoint.document(self.name, self.project, deployment)
        files.write_atomically(self.checkpoint, text)

    @property
    def _backup_of_checkpoint(self) -> Path:
        return self.checkpoint.with_name(f"{self.checkpoint.name}.bak")

    def add_history(self, entry: Mapping[str, object]) -> None:
        """Record an operation, with copies of the checkpoint after it."""
        stamp = time.time_ns()
        text = self.checkpoint.read_text(encoding="utf-8")
        prefix = self.history_folder / f"{self.name}-{stamp}"
        history = json.dumps(entry, separators=(",", ":"), ensure_ascii=False)
        for path, content in (
            (prefix.with_name(f"{prefix.name}.history.json"), history),
            (prefix.with_name(f"{prefix.name}.checkpoint.json"), text),
            (self.backup_folder / f"{self.name}.{stamp}.json", text),
        ):
            files.write_atomically(path, content, durable=False)

    def read_history(self) -> list[dict[str, Any]]:
        """The recorded operations, latest first."""
        entries = sorted(self.history_folder.glob("*.history.json"), reverse=True)
        return [
            cast("dict[str, Any]", json.loads(entry.read_text(encoding="utf-8")))
            for entry in entries
        ]

    def remove(self, *, backups: bool) -> None:
        """Remove the stack; unless `backups`, its last checkpoint stays as .bak."""
        if backups:
            self._backup_of_checkpoint.unlink(missing_ok=True)
            shutil.rmtree(self.backup_folder, ignore_errors=True)
        elif self.checkpoint.exists():
            text = self.checkpoint.read_text(encoding="utf-8")
            files.write_atomically(self._backup_of_checkpoint, text)
        for suffix in (".json", ".json.attrs", ".pulumi-tags", ".pulumi-tags.attrs"):
            self.checkpoint.with_name(self.name + suffix).unlink(missing_ok=True)
        shutil.rmtree(self.history_folder, ignore_errors=True)
