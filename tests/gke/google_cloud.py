"""A stand-in for Google Cloud: one project's resources in a folder, and Google's own refusals.

It is not Google Cloud. It keeps what the program creates and refuses what would fail there: a
wrong order, names and address ranges that are taken, the deletion of what is in use or protected,
an API that is not enabled. A test orders further faults with `order`; each happens once.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Callable, Generator
from pathlib import Path

from tests.gke.google_kinds import (
    CREATE,
    SHARED,
    Properties,
    RefusedError,
    existing,
    require_api,
    uses,
)


class GoogleCloud:
    """The project in `folder`. Every process that opens the folder sees the same one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file, self._lock = folder / "google.json", folder / "google.lock"
        self._faults, self.log = folder / "faults.json", folder / "calls.log"

    @contextlib.contextmanager
    def changing(self) -> Generator[dict[str, Properties]]:
        """All resources by id, to read and to change; nothing is kept if it raises."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = json.loads(self.file.read_text()) if self.file.exists() else {}
            yield found
            new = self.file.with_suffix(".new")
            new.write_text(json.dumps(found, indent=1))
            new.replace(self.file)

    def resources(self, kind: str | None = None) -> dict[str, Properties]:
        with self.changing() as all_:
            return {id_: own for id_, own in all_.items() if kind in (None, own["kind"])}

    def left(self) -> list[str]:
        """What costs money or blocks a name: all but enabled APIs and workload identity pools."""
        kept = ("Api", "WorkloadPool")
        return sorted(id_ for id_, own in self.resources().items() if own["kind"] not in kept)

    def order(self, verb: str, kind: str, how: str) -> None:
        """Let something go wrong once, in the next `verb` (create, delete, ...) of a `kind`.

        how: `forbidden`, `not enabled` and `in use` refuse it; `hang` waits until it is cancelled
        before anything has happened, `hang after` once it has.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        faults = json.loads(self._faults.read_text()) if self._faults.exists() else []
        self._faults.write_text(json.dumps([*faults, [verb, kind, how]]))

    def fault(self, verb: str, kind: str) -> str | None:
        """What was ordered for this request, which is then used up."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            faults = json.loads(self._faults.read_text()) if self._faults.exists() else []
            for fault in faults:
                if fault[:2] == [verb, kind]:
                    faults.remove(fault)
                    self._faults.write_text(json.dumps(faults))
                    return fault[2]
        return None

    def note(self, line: str) -> None:
        with self.log.open("a") as log:
            log.write(f"{line}\n")

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def create(self, kind: str, project: str, props: Properties) -> tuple[str, Properties]:
        """The id and the computed properties of a new resource."""
        with self.changing() as all_:
            require_api(all_, kind, project)
            id_, computed = CREATE[kind](all_, project, props)
            if id_ in all_ and kind not in SHARED:
                raise RefusedError(409, "alreadyExists", f"The resource '{id_}' already exists")
            all_[id_] = {"kind": kind, **props, **computed}
        return id_, computed

    def read(self, id_: str) -> Properties | None:
        return self.resources().get(id_)

    def update(self, id_: str, props: Properties) -> None:
        with self.changing() as all_:
            existing(all_, id_)
            all_[id_].update(props)

    def delete(self, id_: str, is_empty: Callable[[str], bool]) -> None:
        """`is_empty` tells whether a bucket has no objects."""
        with self.changing() as all_:
            own = all_.get(id_)
            if own is None or own["kind"] == "Api":
                return
            for reason in uses(all_, id_, own):
                raise RefusedError(
                    400,
                    "resourceInUseByAnotherResource",
                    f"The resource '{id_}' is already being used by '{reason}'",
                )
            if own["kind"] == "Bucket" and not (own.get("forceDestroy") or is_empty(id_)):
                raise RefusedError(
                    409, "conflict", f"The bucket {id_} you tried to delete is not empty"
                )
            del all_[id_]
            # GKE takes a cluster's node pools along, and a router its NAT gateways.
            for other, theirs in list(all_.items()):
                if theirs.get("part_of") == id_:
                    del all_[other]
