"""Generated programs: a small grammar of resources, options and user edits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import hypothesis
from hypothesis import strategies as st

# Options are edited as often as inputs.
EDITS = ("input", "input", "option", "option", "add", "remove", "rename", "move")
TROUBLES = ("fail", "fail", "drop", "kind")
FAILING_METHODS = ("create", "update", "delete", "check", "diff")
# Steps with --refresh, before which resources may drift.
REFRESHED_STEPS = (4,)
# Hypothesis starts with its smallest examples.
SMALL_EXAMPLES = 20


@dataclass(frozen=True)
class Spec:
    """One resource of a program, as tests/engine/interpreted takes it from JSON.

    label: how other resources refer to it, even after a rename.
    form: thing (its provider diffs), plain (the engine compares) or group (a component).
    formerly: earlier names and types, which become aliases: with the label of another parent, or
        None for none, if there is a `parent`, and as whole URNs if there is `by_urn`.
    """

    label: str
    name: str
    form: str
    type: str
    inputs: dict[str, Any]
    options: dict[str, Any]
    formerly: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def references(self) -> set[str]:
        """The labels of everything this one refers to."""
        values = [self.options.get("parent"), self.options.get("deleted_with")]
        values += self.options.get("depends_on", [])
        values += [value["$of"] for value in self.inputs.values() if _is_reference(value)]
        return {value for value in values if value}


@dataclass(frozen=True)
class Version:
    """One version of a program.

    fails: label and method of the provider's one failure.
    troubled: a step here may be refused or fail, which stops the later ones.
    drift: label of a resource that is `gone` or `changed` before this version runs.
    """

    specs: list[Spec]
    fails: tuple[str, str] | None = None
    troubled: bool = False
    drift: tuple[str, str] | None = None


History = list[Version]


@dataclass(frozen=True)
class Written:
    """A program's versions, and for each step the version that may fail."""

    calm: History
    troubled: History

    def with_trouble_at(self, step: int | None) -> History:
        return [
            self.troubled[number] if number == step else version
            for number, version in enumerate(self.calm)
        ]


def to_json(history: History) -> list[dict[str, Any]]:
    return [dataclasses.asdict(version) for version in history]


def from_json(versions: list[dict[str, Any]]) -> History:
    return [
        Version(
            [Spec(**spec) for spec in version["specs"]],
            tuple(version["fails"]) if version["fails"] else None,
            version["troubled"],
            tuple(version["drift"]) if version["drift"] else None,
        )
        for version in versions
    ]


def generate(count: int, seed: int, edits: int) -> list[Written]:
    """The histories of a seed, always the same."""
    found: list[Written] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=SMALL_EXAMPLES + count,
        phases=[hypothesis.Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    @hypothesis.given(histories(edits))
    def collect(written: Written) -> None:
        found.append(written)

    collect()
    assert len(found) >= count
    return found[-count:]


@st.composite
def histories(draw: st.DrawFn, edits: int) -> Written:
    """A program, then its versions after each edit."""
    writer = _Writer(draw)
    calm: History = []
    troubled: History = []
    specs: list[Spec] = []
    for _ in range(draw(st.integers(1, 4))):
        specs = writer.with_one_more(specs)
    for step in range(edits + 1):
        if step:
            specs = writer.edited(specs)
        drift = writer.drift(specs) if step in REFRESHED_STEPS else None
        calm.append(Version(specs, drift=drift))
        troubled.append(writer.in_trouble(specs))
    return Written(calm, troubled)


class _Writer:
    """Writes and edits one program, with choices by hypothesis."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._made = 0

    def _one_of(self, values: Any) -> Any:
        return self._draw(st.sampled_from(list(values)))

    def _chance(self, one_in: int) -> bool:
        return self._draw(st.integers(1, one_in)) == one_in

    # -- resources ----------------------------------------------------------------------------

    def with_one_more(self, specs: list[Spec]) -> list[Spec]:
        """Insert a resource anywhere; it refers to earlier ones only."""
        place = self._draw(st.integers(0, len(specs)))
        before = specs[:place]
        label = f"r{self._made}"
        self._made += 1
        form = self._one_of(("thing", "thing", "thing", "plain", "group"))
        spec = Spec(label, label, form, "Group", {}, {})
        for key in ["size", *(key for key in ("kind", "tags", "word", "of") if self._chance(2))]:
            spec = self._with_input(spec, key, before)
        for option in _OPTIONS:
            if self._chance(4):
                spec = self._with_option(spec, option, before)
        return [*before, spec, *specs[place:]]

    def _with_input(self, spec: Spec, key: str, before: list[Spec]) -> Spec:
        return dataclasses.replace(spec, inputs={**spec.inputs, key: self._value(key, before)})

    def _value(self, key: str, before: list[Spec]) -> Any:
        things = [spec.label for spec in before if spec.form != "group"]
        if key == "size":
            return self._one_of((0, 1, True, 2.5, -3, None))
        if key == "tags":
            return self._one_of(
                (
                    {"x": 1},
                    {"x": 2},
                    {"x": None},
                    {"x": True, "y": [1]},
                    {"x": 1, "y": [1, {"z": True}]},
                    {"x": 1, "y": [None, {"z": None}]},
                )
            )
        if key == "word":
            return self._one_of(
                (
                    "plain",
                    None,
                    {"$secret": "hush"},
                    {"$secret": None},
                    {"$secret": {"x": [1, "<&>", None]}},
                )
            )
        if key == "first":
            return self._one_of(("delete", "create"))
        if things and (key == "of" or self._chance(3)):
            key = self._one_of(("serial", "url", "note", "notes"))
            return {"$of": self._one_of(things), "key": key}
        return self._one_of(("x", "y", "z", None))

    def _with_option(self, spec: Spec, option: str, before: list[Spec]) -> Spec:
        value = _OPTIONS[option](self, before)
        options = {**spec.options, option: value}
        if value is None:
            del options[option]
        return dataclasses.replace(spec, options=options)

    def boolean(self, before: list[Spec]) -> bool:
        return self._draw(st.booleans())

    def protect(self, before: list[Spec]) -> bool | None:
        return True if self._chance(3) else None

    def some_keys(self, before: list[Spec]) -> list[str]:
        return self._one_of((["size"], ["kind"], ["tags.x"], ["tags"], ["of", "size"], ["*"]))

    def secret_outputs(self, before: list[Spec]) -> list[str]:
        return self._one_of((["url"], ["serial", "size"], ["nope"]))

    def timeouts(self, before: list[Spec]) -> dict[str, str]:
        return self._one_of(({"create": "5m"}, {"update": "90s", "delete": "1h0m0.5s"}))

    def another(self, before: list[Spec]) -> str | None:
        things = [spec.label for spec in before if spec.form != "group"]
        return self._one_of(things) if things else None

    def others(self, before: list[Spec]) -> list[str] | None:
        return [self._one_of(before).label] if before else None

    def group(self, before: list[Spec]) -> str | None:
        groups = [spec.label for spec in before if spec.form == "group"]
        return self._one_of(groups) if groups else None

    # -- edits --------------------------------------------------------------------------------

    def edited(self, specs: list[Spec]) -> list[Spec]:
        """One edit that no protected resource blocks."""
        edit = self._one_of(EDITS)
        free = _unprotected(specs)
        if edit == "add" or not specs:
            return self.with_one_more(specs)
        if edit == "rename":
            return _replaced(specs, self._renamed(self._one_of(specs)))
        if edit == "move":
            spec = self._one_of(specs)
            return _replaced(specs, self._moved(spec, specs[: specs.index(spec)]))
        if not free:
            return _replaced(specs, _without_option(self._one_of(specs), "protect"))
        spec = self._one_of(free)
        if edit == "remove":
            return without(specs, spec.label)
        before = specs[: specs.index(spec)]
        if edit == "option":
            return _replaced(specs, self._with_option_changed(spec, before))
        key = self._one_of(("size", "kind", "kind", "tags", "word", "of", "first"))
        return _replaced(specs, self._with_input(spec, key, before))

    def _with_option_changed(self, spec: Spec, before: list[Spec]) -> Spec:
        option = self._one_of(option for option in _OPTIONS if option != "parent")
        if option in spec.options and self._chance(2):
            return _without_option(spec, option)
        return self._with_option(spec, option, before)

    def _renamed(self, spec: Spec) -> Spec:
        former: dict[str, Any] = {"name": spec.name, "type": spec.type}
        if "parent" not in spec.options and self._chance(3):
            former["by_urn"] = True
        kept = spec.formerly if self._chance(2) else []
        if spec.form == "group" and self._chance(2):
            return dataclasses.replace(spec, type=f"{spec.type}X", formerly=[former, *kept])
        return dataclasses.replace(spec, name=f"{spec.name}x", formerly=[former, *kept])

    def _moved(self, spec: Spec, before: list[Spec]) -> Spec:
        """The same resource with another parent or none."""
        here = spec.options.get("parent")
        parents = [None, *(one.label for one in before if one.form == "group")]
        others = [label for label in parents if label != here]
        if not others:
            return self._renamed(spec)
        former = {"name": spec.name, "type": spec.type, "parent": here}
        moved = _without_option(spec, "parent")
        there = self._one_of(others)
        options = {**moved.options, "parent": there} if there else moved.options
        return dataclasses.replace(moved, options=options, formerly=[former, *spec.formerly])

    # -- trouble ------------------------------------------------------------------------------

    def drift(self, specs: list[Spec]) -> tuple[str, str] | None:
        things = [spec.label for spec in specs if spec.form != "group"]
        if not things or self._chance(3):
            return None
        return self._one_of(things), self._one_of(("gone", "changed"))

    def in_trouble(self, specs: list[Spec]) -> Version:
        """A version of one step that may fail."""
        trouble = self._one_of(TROUBLES)
        things = [spec for spec in specs if spec.form != "group"]
        if not things:
            return Version(specs)
        spec = self._one_of(things)
        if trouble == "drop":
            return Version(without(specs, spec.label), troubled=True)
        changed = self._with_input(spec, "kind", [])
        fails = (spec.label, self._one_of(FAILING_METHODS)) if trouble == "fail" else None
        return Version(_replaced(specs, changed), fails, troubled=True)


_OPTIONS: dict[str, Callable[[_Writer, list[Spec]], Any]] = {
    "parent": _Writer.group,
    "protect": _Writer.protect,
    "delete_before_replace": _Writer.boolean,
    "ignore_changes": _Writer.some_keys,
    "replace_on_changes": _Writer.some_keys,
    "retain_on_delete": _Writer.boolean,
    "deleted_with": _Writer.another,
    "additional_secret_outputs": _Writer.secret_outputs,
    "custom_timeouts": _Writer.timeouts,
    "depends_on": _Writer.others,
}


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and "$of" in value


def _replaced(specs: list[Spec], changed: Spec) -> list[Spec]:
    return [changed if spec.label == changed.label else spec for spec in specs]


def _without_option(spec: Spec, option: str) -> Spec:
    options = {key: value for key, value in spec.options.items() if key != option}
    return dataclasses.replace(spec, options=options)


def without(specs: list[Spec], label: str) -> list[Spec]:
    """The program without a resource and all references to it."""
    left: list[Spec] = []
    for spec in specs:
        if spec.label == label:
            continue
        inputs = {
            key: "gone" if _is_reference(value) and value["$of"] == label else value
            for key, value in spec.inputs.items()
        }
        options = {
            key: value for key, value in spec.options.items() if value not in (label, [label])
        }
        formerly = [former for former in spec.formerly if former.get("parent") != label]
        left.append(dataclasses.replace(spec, inputs=inputs, options=options, formerly=formerly))
    return left


def _unprotected(specs: list[Spec]) -> list[Spec]:
    """The resources that may be replaced or removed: not protected, nor their dependents."""
    held: set[str] = set()
    for spec in specs:  # children inherit a component's protection
        if spec.options.get("protect") or spec.options.get("parent") in held:
            held.add(spec.label)
    for spec in reversed(specs):
        if spec.label in held:
            held |= spec.references()
    return [spec for spec in specs if spec.label not in held]
