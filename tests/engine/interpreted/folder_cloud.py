"""A cloud in a folder: each resource is the file cloud/ID.json.

trouble.json names one resource and the method that fails for it; calls.txt notes what was done.
"""

import json
import time
from pathlib import Path
from typing import Any

import pulumi
from pulumi.dynamic import (
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

QUIET_KINDS = (None, "x")
HERE = Path(__file__).parent
CLOUD = HERE / "cloud"
SERIALS = HERE / "serials"
COMPUTED = ("__provider", "serial", "url", "note", "notes")


def note(method: str, label: str) -> None:
    if method in ("create", "update", "delete"):
        with (HERE / "calls.txt").open("a") as calls:
            calls.write(f"{method} {label}\n")
    if json.loads((HERE / "trouble.json").read_text()) == [label, method]:
        raise RuntimeError(f"{method} is out of order")


def pause() -> None:
    file = HERE / "pause"
    if file.exists():
        time.sleep(float(file.read_text()))


def write(resource_id: str, props: dict[str, Any]) -> None:
    given = {key: value for key, value in props.items() if key not in COMPUTED}
    pause()
    scratch = HERE / f"{resource_id}.tmp"
    scratch.write_text(json.dumps(given, sort_keys=True))
    scratch.rename(CLOUD / f"{resource_id}.json")
    pause()


def new_id(props: dict[str, Any]) -> str:
    """With the folder `serials` ids are never used twice; without it they follow from the inputs,
    so that a creation that is repeated makes the same again.
    """
    label = props["label"]
    if not SERIALS.exists():
        return f"{label}-{props.get('kind')}"
    file = SERIALS / label
    serial = int(file.read_text()) + 1 if file.exists() else 1
    file.write_text(str(serial))
    return f"{label}-{serial}"


class Comparing(ResourceProvider):
    """Says itself what has changed; `kind` replaces, and `first` says in which order."""

    def configure(self, req: Any) -> None:
        self.prefix = req.config.get("prefix") or ""

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        note("check", news["label"])
        return CheckResult({"tier": "basic", **news}, [])

    def diff(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        note("diff", news["label"])
        keys = [
            key
            for key in {*olds, *news}
            if key not in COMPUTED and (key in olds, olds.get(key)) != (key in news, news.get(key))
        ]
        return DiffResult(
            changes=bool(keys),
            replaces=["kind"] if "kind" in keys else [],
            delete_before_replace=news.get("first") == "delete",
        )

    def create(self, props: dict[str, Any]) -> CreateResult:
        note("create", props["label"])
        resource_id = new_id(props)
        write(resource_id, props)
        return CreateResult(resource_id, self.outputs(resource_id, props))

    def outputs(self, resource_id: str, props: dict[str, Any]) -> dict[str, Any]:
        """A resource notes its kind, but a few kinds are not worth a note."""
        note = None if props.get("kind") in QUIET_KINDS else props.get("kind")
        return {
            **props,
            "serial": resource_id,
            "url": f"{self.prefix}{resource_id}",
            "note": note,
            "notes": {"all": [note], "none": None},
        }

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        note("read", props["label"])
        file = CLOUD / f"{id_}.json"
        if not file.exists():
            return ReadResult("", {})
        return ReadResult(id_, self.outputs(id_, {**props, **json.loads(file.read_text())}))

    def update(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        note("update", news["label"])
        write(id_, news)
        return UpdateResult(self.outputs(id_, news))

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        file = CLOUD / f"{id_}.json"
        if not file.exists():
            return  # the official engine asks again for what an unfinished replacement has deleted
        note("delete", props["label"])
        pause()
        file.unlink()
        pause()


class Plain(Comparing):
    """Leaves comparing to the engine."""

    def diff(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        note("diff", news["label"])
        return DiffResult()


class Thing(Resource, module="things", name="Thing"):
    serial: pulumi.Output[Any]
    url: pulumi.Output[Any]
    note: pulumi.Output[Any]
    notes: pulumi.Output[Any]
    provider_class: type[ResourceProvider] = Comparing

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None, **props: Any) -> None:
        props = {"serial": None, "url": None, "note": None, "notes": None, **props}
        super().__init__(type(self).provider_class(), name, props, opts)


class PlainThing(Thing, module="things", name="PlainThing"):
    provider_class = Plain
