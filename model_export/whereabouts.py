"""What a path is that is not a model, and which one was probably meant."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from model_export.manifest import MANIFEST_NAME
from model_export.publish import PARTIAL_MANIFEST_NAME
from model_export.storage import Storage, child_url, local_path, open_storage, parent_url

_LEVELS_ABOVE = 3
"""A model's files lie so deep at most: 1/variables/…"""
_MODELS_SHOWN = 3


def why_no_model(storage: Storage) -> str | None:
    """Why there is no model, in one line that follows the URL; None if there is a manifest."""
    if _is_model(storage):
        return None
    for above in _above(storage.url):
        if _is_model(above):
            return f"is inside a model: {above.url} is the model"
    if models := _named(storage):
        return f"is a folder of models, not a model: choose one of them ({models})"
    return _what(storage)


def _what(storage: Storage) -> str:
    if storage.url.startswith("file:"):
        path = local_path(storage.url)
        if path.is_file():
            return "is a file, not a model's folder"
        if path.is_dir() and not any(path.iterdir()):
            return "is an empty folder"
        exists = path.exists()
    else:
        exists = bool(storage.sizes())
    if exists:
        return f"is not a published model: it has no {MANIFEST_NAME}"
    beside = next((_named(above) for above in _above(storage.url)), "")
    return "does not exist" + (f"; the models beside it: {beside}" if beside else "")


def _is_model(storage: Storage) -> bool:
    return any(storage.read(name) is not None for name in (MANIFEST_NAME, PARTIAL_MANIFEST_NAME))


def _above(url: str) -> Iterator[Storage]:
    """The folders that this one is in, from the inside out; of a bucket, those below its root."""
    for _ in range(_LEVELS_ABOVE):
        if urlsplit(url).path.count("/") <= 1:
            return
        url = parent_url(url)
        yield open_storage(url)


def _named(storage: Storage) -> str:
    """URLs of the models in a folder, for a message; empty if it has none."""
    models = storage.models()
    shown = [child_url(storage.url, name) for name in models[:_MODELS_SHOWN]]
    more = [f"and {len(models) - len(shown)} more"] if len(models) > len(shown) else []
    return ", ".join([*shown, *more])
