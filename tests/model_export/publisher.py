"""The exporter's command line in a process of its own, on a model that is prepared in a folder.

Usage: python -m tests.model_export.publisher PREPARED PAUSE ARGUMENT…

PAUSE is a path or a number. While that file exists, the process stands still before it publishes
the graph, and says so by a file beside it. For a number, it pauses for up to so many seconds before
every file that it publishes or deletes.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from model_export import cli, export_once, gcs_lock, locks
from model_export.gcs_storage import GcsStorage
from model_export.manifest import Manifest
from model_export.storage import FileStorage

EXPIRY_SECONDS = 3.0


def _pause(pause: str, path: str) -> None:
    if not pause.startswith("/"):
        time.sleep(random.uniform(0, float(pause)))
    elif path.endswith("saved_model.pb") and Path(pause).exists():
        Path(f"{pause}.{os.getpid()}").touch()
        while Path(pause).exists():
            time.sleep(0.01)


def main() -> int:
    prepared, pause = Path(sys.argv[1]), sys.argv[2]

    def export(_spec: object, folder: Path, **_options: object) -> Manifest:
        shutil.copytree(prepared, folder, dirs_exist_ok=True)
        return Manifest.from_bytes((prepared / "manifest.json").read_bytes())

    for kind in (FileStorage, GcsStorage):
        put_all, delete = kind.put_all, kind.delete

        def slow_put_all(self: Any, files: Any, on_put: Any, put_all: Any = put_all) -> None:
            for file in files:
                _pause(pause, file[1])
                put_all(self, [file], on_put)

        def slow_delete(self: Any, path: str, delete: Any = delete) -> None:
            _pause(pause, "")
            delete(self, path)

        kind.put_all, kind.delete = slow_put_all, slow_delete
    export_once.export = export
    locks.EXPIRY_SECONDS, gcs_lock._REFRESH_SECONDS = EXPIRY_SECONDS, EXPIRY_SECONDS / 10
    return cli.main(sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
