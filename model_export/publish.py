"""Publishing a model folder, checking it, and deleting it.

A model server must never find half a model. So `saved_model.pb`, without which nothing loads, is
uploaded after everything it needs, and `manifest.json`, without which nothing counts as published,
is uploaded last. While a folder is incomplete, `manifest.partial.json` lists what will be in it, so
that an interrupted upload can be resumed file by file, or deleted by name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from model_export.manifest import MANIFEST_NAME, FileEntry, Manifest, ManifestError
from model_export.storage import RetainedError, Storage

PARTIAL_MANIFEST_NAME = "manifest.partial.json"
_SAVED_MODEL_NAME = "saved_model.pb"


def publish(
    folder: Path,
    manifest: Manifest,
    storage: Storage,
    on_file: Callable[[FileEntry], None] = lambda _file: None,
    before_manifest: Callable[[], None] = lambda: None,
) -> None:
    """Uploads what `manifest` lists from folder. A rerun uploads only what is missing.

    Files that an interrupted upload left and that this manifest does not list are removed. Hold the
    folder's lock meanwhile; before_manifest raises an error if it was lost.
    """
    wanted = {file.path for file in manifest.files}
    stale = [file for file in _listed_files(storage, strict=False) if file.path not in wanted]
    sizes = storage.sizes()
    missing = [file for file in manifest.files if not _holds(storage, sizes, file)]
    changing = [file for file in (*stale, *missing) if file.path in sizes]
    removed = list(dict.fromkeys((*stale, *changing)))
    if changing:
        # Files are about to change under a model that may be complete: it must not load meanwhile.
        graphs = [file for file in manifest.files if _is_saved_model(file)]
        removed = list(dict.fromkeys((*graphs, *removed)))
        missing = [file for file in manifest.files if file in missing or file in graphs]
    for file in sorted(removed, key=_deletion_rank):
        storage.delete(file.path)
    content = manifest.to_bytes()
    if missing:
        # A bucket that retains the list of an earlier attempt keeps its files too.
        with contextlib.suppress(RetainedError):
            _write_once(storage, content, PARTIAL_MANIFEST_NAME)
        storage.delete(MANIFEST_NAME)
    by_path = {file.path: file for file in missing}
    for files in _rounds(missing):
        pairs = [(folder / file.path, file.path) for file in files]
        storage.put_all(pairs, lambda path: on_file(by_path[path]))
    before_manifest()
    _write_once(storage, content, MANIFEST_NAME)
    with contextlib.suppress(RetainedError):
        storage.delete(PARTIAL_MANIFEST_NAME)
    storage.remove_empty_folders()


def _write_once(storage: Storage, content: bytes, path: str) -> None:
    if storage.read(path) != content:
        storage.write(content, path)


def upload_order(files: Iterable[FileEntry]) -> list[FileEntry]:
    """Variables, assets, extra assets, the rest, and `saved_model.pb` last."""

    def rank(file: FileEntry) -> tuple[int, str]:
        folders = file.path.split("/")[1:-1]
        for i, name in enumerate(("variables", "assets", "assets.extra")):
            if name in folders:
                return i, file.path
        return (4 if _is_saved_model(file) else 3), file.path

    return sorted(files, key=rank)


def _rounds(files: Iterable[FileEntry]) -> list[list[FileEntry]]:
    """Files that may be uploaded together: everything that a graph needs, then the graph."""
    ordered = upload_order(files)
    needed = [file for file in ordered if not _is_saved_model(file)]
    graphs = [file for file in ordered if _is_saved_model(file)]
    return [together for together in (needed, graphs) if together]


def read_manifest(storage: Storage) -> Manifest | None:
    """The manifest of a published model; None if there is none. Raises ManifestError if damaged."""
    content = storage.read(MANIFEST_NAME)
    return None if content is None else Manifest.from_bytes(content)


def problems(storage: Storage, *, checksums: bool = True) -> list[str]:
    """What is wrong with a published folder, one line each; empty for a complete one.

    Without checksums, checks only the presence and size of every file.
    """
    try:
        manifest = read_manifest(storage)
    except ManifestError as error:
        return [str(error)]
    if manifest is None:
        begun = storage.read(PARTIAL_MANIFEST_NAME) is not None
        return [f"{MANIFEST_NAME} is missing" + (": its upload has not finished" if begun else "")]
    sizes = storage.sizes()
    found: list[str] = []
    for file in manifest.files:
        size = sizes.get(file.path)
        if size is None:
            found.append(f"{file.path} is missing")
        elif size != file.size_bytes:
            found.append(f"{file.path} has {size} bytes instead of {file.size_bytes}")
        elif checksums and (checksum := storage.sha256(file.path)) != file.sha256:
            wrong = "is missing" if checksum is None else "has a wrong checksum"
            found.append(f"{file.path} {wrong}")
    return found


def delete(storage: Storage) -> int:
    """Deletes what the manifests list, the manifests, and folders left empty; nothing else.

    `saved_model.pb` is deleted first, so that a half-deleted model never loads, and the manifest
    last, so that an interrupted delete can be repeated. Hold the folder's lock meanwhile. Returns
    the number of listed files.
    """
    storage.sizes()  # in a bucket, only the versions that are seen here are deleted
    files = _listed_files(storage)
    for file in sorted(files, key=_deletion_rank):
        storage.delete(file.path)
    storage.delete(MANIFEST_NAME)
    storage.delete(PARTIAL_MANIFEST_NAME)
    storage.remove_empty_folders()
    return len(files)


def is_unfinished(storage: Storage) -> bool:
    """Whether an upload to it began and did not finish."""
    return storage.read(MANIFEST_NAME) is None and storage.read(PARTIAL_MANIFEST_NAME) is not None


def _listed_files(storage: Storage, *, strict: bool = True) -> list[FileEntry]:
    """Files that the manifest and an unfinished upload's manifest list, each once.

    A damaged one raises ManifestError if strict, and lists nothing otherwise.
    """
    files: dict[str, FileEntry] = {}
    for name in (PARTIAL_MANIFEST_NAME, MANIFEST_NAME):
        content = storage.read(name)
        if content is None:
            continue
        try:
            files |= {file.path: file for file in Manifest.from_bytes(content).files}
        except ManifestError as error:
            if strict:
                raise ManifestError(f"{storage.url}: {error}; delete the folder by hand") from error
    return list(files.values())


def _holds(storage: Storage, sizes: dict[str, int], file: FileEntry) -> bool:
    return sizes.get(file.path) == file.size_bytes and storage.sha256(file.path) == file.sha256


def _is_saved_model(file: FileEntry) -> bool:
    return file.path.rsplit("/", 1)[-1] == _SAVED_MODEL_NAME


def _deletion_rank(file: FileEntry) -> tuple[bool, str]:
    return not _is_saved_model(file), file.path
