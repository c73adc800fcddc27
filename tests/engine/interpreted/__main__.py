"""Registers the resources that programs.json describes, one after another.

In turn, because what an engine gets done before a failure depends on their order.
"""

import json
from pathlib import Path
from typing import Any

import pulumi
from folder_cloud import PlainThing, Thing

GROUP_TYPE = "things:index:"
DYNAMIC_TYPES = {
    "thing": "pulumi-python:dynamic/things:Thing",
    "plain": "pulumi-python:dynamic/things:PlainThing",
}


class Program:
    """One of the independent programs, whose labels are its own."""

    def __init__(self, name: str, specs: list[dict[str, Any]]) -> None:
        self.name = name
        self._specs = specs
        self._resources: dict[str, Any] = {}

    async def register(self) -> dict[str, Any]:
        for spec in self._specs:
            resource = self._make(spec)
            self._resources[spec["label"]] = resource
            await resource.urn.future()
        things = [
            (label, resource)
            for label, resource in self._resources.items()
            if isinstance(resource, Thing)
        ]
        # Nulls for some, and unknown in a dry run, as no output of the stack is.
        group = pulumi.ComponentResource(f"{GROUP_TYPE}Notes", f"{self.name}-notes")
        group.register_outputs(
            {label: [thing.note, thing.notes] for label, thing in things}
            | {f"{label}-note": thing.note for label, thing in things}
        )
        return {label: thing.url for label, thing in things}

    def _make(self, spec: dict[str, Any]) -> Any:
        name = f"{self.name}-{spec['name']}"
        inputs = {key: self._value(value) for key, value in spec["inputs"].items()}
        options = self._options(spec)
        if spec["form"] == "group":
            group = pulumi.ComponentResource(GROUP_TYPE + spec["type"], name, inputs, options)
            group.register_outputs({"given": inputs})
            return group
        make = PlainThing if spec["form"] == "plain" else Thing
        return make(name, label=f"{self.name}-{spec['label']}", opts=options, **inputs)

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict) and "$of" in value:
            return getattr(self._resources[value["$of"]], value["key"])
        if isinstance(value, dict) and "$secret" in value:
            return pulumi.Output.secret(value["$secret"])
        return value

    def _options(self, spec: dict[str, Any]) -> pulumi.ResourceOptions:
        options = dict(spec["options"])
        for key in ("parent", "deleted_with"):
            if key in options:
                options[key] = self._resources[options[key]]
        if "depends_on" in options:
            options["depends_on"] = [self._resources[label] for label in options["depends_on"]]
        if "custom_timeouts" in options:
            options["custom_timeouts"] = pulumi.CustomTimeouts(**options["custom_timeouts"])
        options["aliases"] = [self._alias(spec["form"], former) for former in spec["formerly"]]
        return pulumi.ResourceOptions(**options)

    def _alias(self, form: str, former: dict[str, Any]) -> pulumi.Alias | str:
        name = f"{self.name}-{former['name']}"
        type_ = GROUP_TYPE + former["type"] if form == "group" else DYNAMIC_TYPES[form]
        if former.get("by_urn"):
            return f"urn:pulumi:{pulumi.get_stack()}::{pulumi.get_project()}::{type_}::{name}"
        elsewhere: dict[str, Any] = {}
        if "parent" in former:
            parent = former["parent"]
            elsewhere["parent"] = self._resources[parent] if parent else pulumi.ROOT_STACK_RESOURCE
        if form == "group":
            elsewhere["type_"] = type_
        return pulumi.Alias(name=name, **elsewhere)


async def register_all() -> dict[str, Any]:
    programs = json.loads(Path("programs.json").read_text())
    return {name: await Program(name, specs).register() for name, specs in programs.items()}


pulumi.export("urls", pulumi.Output.from_input(register_all()))
