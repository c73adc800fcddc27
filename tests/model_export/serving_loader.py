"""How TF Serving loads a model folder: which version it picks, what it reads, what makes it fail.

The rules are those of its sources (file_system_storage_path_source.cc, saved_model_warmup_util.cc)
and of TensorFlow's loader (cc/saved_model/loader.cc), which a missing index tells "no variables".
The dev server follows them, and runs TensorFlow's own session.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from unittest import mock

from model_export.manifest import Manifest


def would_be_loaded(paths: Mapping[str, object]) -> list[str]:
    """The versions that a server would try to load, given a folder's files by relative path."""
    return sorted(
        path.parts[0]
        for path in map(PurePosixPath, paths)
        if len(path.parts) == 2 and path.parts[0].isdigit() and path.parts[1] == "saved_model.pb"
    )


def is_safe(contents: Mapping[str, bytes], *models: Manifest) -> bool:
    """Whether a server would load nothing, or exactly one of these models."""
    from hashlib import sha256

    if not would_be_loaded(contents):
        return True
    sums = {path: sha256(content).hexdigest() for path, content in contents.items()}
    return any(all(sums.get(file.path) == file.sha256 for file in model.files) for model in models)


def start_a_server(base: Path) -> int:
    """Loads and warms up the newest version, and returns how many warm-up requests ran.

    Raises the dev server's StartError where TF Serving would fail to load.
    """
    from devserver import flags
    from devserver.execution.batching import Batching
    from devserver.execution.predictor import Predictor
    from devserver.metrics import Metrics
    from devserver.model import loading, warmup

    found = loading.find_version(str(base))
    assert found is not None, "a server would wait for ever: there is no version"
    number, folder = found
    with _as_the_cpp_loader():
        loaded = loading.load(flags.Flags(), number, folder)
    return warmup.run(loaded, folder, 1, Predictor("stable-diffusion", Batching(), Metrics()))


@contextlib.contextmanager
def _as_the_cpp_loader() -> Iterator[None]:
    """A missing index is "no variables" to TensorFlow's C++ loader, and an error to Python's."""
    from tensorflow.python.saved_model.loader_impl import SavedModelLoader

    strict = SavedModelLoader.restore_variables

    def lenient(loader: Any, *arguments: Any, **options: Any) -> None:
        if Path(f"{loader.variables_path}.index").exists():
            strict(loader, *arguments, **options)

    with mock.patch.object(SavedModelLoader, "restore_variables", lenient):
        yield
