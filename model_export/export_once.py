"""One export, from the lock on the model's folder to the manifest in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from model_export import owners, publish
from model_export.export import ExportError, export
from model_export.families import family
from model_export.locks import Lock, LockLostError, locked
from model_export.manifest import MANIFEST_NAME, FileEntry, Manifest
from model_export.progress import reporter
from model_export.spec import ModelSpec
from model_export.stages import Stage
from model_export.staging import own_folder, staging_folder
from model_export.storage import Storage, StorageError, local_path


class ExportInterruptedError(Exception):
    """An export was interrupted; the message says what it left behind."""


def export_once(spec: ModelSpec, storage: Storage, began: float) -> None:
    """Exports the model unless it is there, or another process publishes it meanwhile.

    began: when the command did, in seconds of the monotonic clock.
    """
    if not publish.problems(storage):
        print(f"{storage.url} is already published and complete")
        return
    storage.check_access()
    with locked(storage) as lock:
        if not publish.problems(storage):
            print(f"{storage.url} has been published by another process and is complete")
            return
        _quiet_tensorflow()
        _stand_in_for_home()
        parent = _staging_parent(storage.url)
        try:
            manifest = _export_and_publish(spec, storage, lock, parent)
        except KeyboardInterrupt:
            raise ExportInterruptedError(_left_behind(spec, storage, parent)) from None
    seconds = time.monotonic() - began
    print(f"exported {storage.url} ({manifest.size_bytes / 1e6:.1f} MB) in {seconds:.0f} s")
    for ingredient in manifest.made_of:
        print(f"made of {ingredient.to_text()}")
    if spec.random_seed is not None:
        print("ITS WEIGHTS ARE RANDOM: it draws noise, at the real model's speed")


def _export_and_publish(
    spec: ModelSpec, storage: Storage, lock: Lock, staging_parent: Path
) -> Manifest:
    """Returns what was published. Deletes a half-finished upload if interrupted."""
    with staging_folder(staging_parent) as folder, reporter(spec) as progress:
        _check_room(spec, folder, storage.url)
        manifest = export(spec, folder, progress=progress)
        progress(Stage.PUBLISH)
        sent_bytes = 0

        def sent(file: FileEntry) -> None:
            nonlocal sent_bytes
            sent_bytes += file.size_bytes
            progress(Stage.PUBLISH, sent_bytes / manifest.size_bytes)

        lock.check()
        try:
            publish.publish(folder, manifest, storage, sent, before_manifest=lock.check)
        except KeyboardInterrupt:
            # If the lock was lost, it is another process's; `_left_behind` says what remains.
            with contextlib.suppress(LockLostError, StorageError):
                lock.check()
                if storage.read(MANIFEST_NAME) is None:
                    publish.delete(storage)
            raise
    return manifest


def _left_behind(spec: ModelSpec, storage: Storage, staging_parent: Path) -> str:
    """What an interrupted export left behind, in one line."""
    staging = own_folder(staging_parent)
    left = [str(staging)] if staging.exists() else []
    try:
        if not publish.problems(storage, checksums=False):
            return f"{storage.url} was already published and is complete"
        if any(not path.startswith(f"{owners.FOLDER}/") for path in storage.paths()):
            left.append(storage.url)
    except (StorageError, OSError) as error:
        left.append(f"{storage.url} perhaps ({error})")
    if left:
        return f"left behind: {', '.join(left)}; export it again"
    downloads = family(spec.family).downloads(spec)
    kept = f" but what was downloaded to {downloads}" if downloads else ""
    return f"nothing was left behind{kept}"


def _check_room(spec: ModelSpec, staging: Path, url: str) -> None:
    """Fails early instead of filling the disk after minutes of work."""
    copies = 2 if url.startswith("file:") else 1  # the staged files, and the published ones
    needed_bytes = copies * family(spec.family).size_bytes(spec)
    free_bytes = shutil.disk_usage(staging).free
    if free_bytes < needed_bytes:
        raise ExportError(
            f"{staging.parent}: the export needs {needed_bytes / 1e9:.1f} GB of disk space while "
            f"it runs, and only {free_bytes / 1e9:.1f} GB are free"
        )


def _staging_parent(url: str) -> Path:
    """Next to a local destination, which needs the disk space anyway."""
    if url.startswith("file:"):
        return local_path(url).parent
    return Path(tempfile.gettempdir())


def _quiet_tensorflow() -> None:
    """Its start-up messages would hide the progress lines. Call before the first import."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")


def _stand_in_for_home() -> None:
    """A package that keras_cv imports fails where there is no home folder, though it needs none."""
    try:
        Path.home()
    except RuntimeError:  # no HOME, and a user that the system does not know
        os.environ["HOME"] = os.devnull
