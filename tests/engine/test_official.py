"""One state, two engines: a stack switches between them, if the official CLI is on PATH."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest

from tests.engine import states
from tests.engine.display.test_secret_filter import LEAKS, assert_hidden, set_secrets
from tests.engine.pulumi_project import PulumiProject

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("pulumi") is None, reason="the official Pulumi CLI is not on PATH"
    ),
]

MIXED = """
a = Thing("a", size=config.get_int("size") or 1, word=pulumi.Output.secret("hush"))
class Pair(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("things:index:Pair", name, {"given": 1})
        one = Thing(f"{name}-one", of=a.serial, opts=Options(parent=self, protect=False))
        self.register_outputs({"one": one.serial})
Pair("p")
Thing("limited", opts=Options(custom_timeouts=pulumi.CustomTimeouts(create="5m"), depends_on=[a],
      ignore_changes=["size"], additional_secret_outputs=["url"]))
pulumi.export("serial", a.serial)
pulumi.export("nested", {"list": [1, 2.5, None, {"x": True}], "word": pulumi.Output.secret("w")})
"""

# Each tuple is a history of one program: its versions in turn.
HISTORIES = {
    "replace with dependents": (
        'a = Thing("a", kind="x")\nThing("b", of=a.serial)',
        'a = Thing("a", kind="y")\nThing("b", of=a.serial)',
        'Thing("b")',
    ),
    "delete before replace": (
        'a = Thing("a", kind="x", first="delete")\nb = Thing("b", kind=a.serial)\n'
        'Thing("c", of=b.serial)',
        'a = Thing("a", kind="y", first="delete")\nb = Thing("b", kind=a.serial)\n'
        'Thing("c", of=b.serial)',
    ),
    "order overridden": (
        'Thing("a", kind="x", opts=Options(delete_before_replace=True))',
        'Thing("a", kind="y", opts=Options(delete_before_replace=True))',
        'Thing("a", kind="z", first="delete", opts=Options(delete_before_replace=False))',
    ),
    "ignored and compared": (
        'PlainThing("a", tags={"x": 1, "y": 1}, opts=Options(ignore_changes=["tags.x"]))',
        'PlainThing("a", tags={"x": 2, "y": 2}, opts=Options(ignore_changes=["tags.x"]))',
        'PlainThing("a", tags={"x": 2, "y": 3}, opts=Options(replace_on_changes=["tags"]))',
        'Thing("b", tags=[1])',
        'Thing("b", tags=[2], opts=Options(replace_on_changes=["tags"]))',
    ),
    "aliased": (
        'parent = pulumi.ComponentResource("t:i:P", "p")\n'
        'a = Thing("a", label="a", opts=Options(parent=parent))\nThing("b", of=a.serial)',
        'parent = pulumi.ComponentResource("t:i:Q", "q", {}, Options(aliases=['
        'pulumi.Alias(name="p", type_="t:i:P")]))\n'
        'a = Thing("a", label="a", opts=Options(parent=parent))\nThing("b", of=a.serial)',
    ),
    "deleted with and retained": (
        'a = Thing("a", kind="x")\nThing("b", opts=Options(deleted_with=a))\n'
        'Thing("c", opts=Options(retain_on_delete=True))',
        'a = Thing("a", kind="y")\nThing("b", opts=Options(deleted_with=a))',
        "",
    ),
    "failures": (
        'a = Thing("a")\nThing("b", of=a.serial, fails="create")\npulumi.export("a", a.serial)',
        'a = Thing("a", kind="x")\nThing("b", of=a.serial)\npulumi.export("b", a.serial)',
        'a = Thing("a", size=2, kind="x")\nThing("b", of=a.serial, size=2, fails="update")',
        'a = Thing("a", size=2, kind="x", opts=Options(protect=True))',
        "",
    ),
    "secrets": (
        'Thing("a", word=pulumi.Output.secret({"x": 1}), opts=Options('
        'additional_secret_outputs=["url", "nope"]))',
        'Thing("a", word={"x": 1})\npulumi.export("w", pulumi.Output.secret([1, "<&>"]))',
    ),
}


def official(project: PulumiProject, *arguments: str, code: int = 0) -> str:
    """Run the official CLI on the project."""
    ran = subprocess.run(
        ["pulumi", *arguments, "--non-interactive", "--color", "never", "-C", str(project.folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == code, ran.stdout
    return ran.stdout


@pytest.fixture
def shared(exact_project: PulumiProject, monkeypatch: pytest.MonkeyPatch) -> PulumiProject:
    """A project both engines can run."""
    monkeypatch.setenv("PULUMI_SKIP_UPDATE_CHECK", "true")
    monkeypatch.setenv("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "true")
    (exact_project.folder / "Pulumi.yaml").write_text(
        "name: things\nruntime:\n  name: python\n"
        f"  options: {{virtualenv: {sys.prefix}}}\n"
        "config:\n  colour: {default: red}\n"
    )
    return exact_project


def comparable(project: PulumiProject) -> Any:
    return states.comparable(project.deployment())


def test_the_official_engine_can_continue_without_changes_and_so_can_the_embedded_one_after_it(
    shared: PulumiProject,
) -> None:
    shared.program(MIXED)
    shared.up()
    first = comparable(shared)
    official(shared, "preview", "--expect-no-changes")
    official(shared, "up", "--yes", "--refresh", "--expect-no-changes")
    assert comparable(shared) == first
    shared.config(size=7)
    assert "~ 1 updated" in official(shared, "up", "--yes")
    assert shared.cloud["a"]["size"] == 7

    before = comparable(shared)
    assert shared.run("preview", "--expect-no-changes").code == 0
    shared.up("--refresh", "--expect-no-changes")
    assert comparable(shared) == before
    history = official(shared, "stack", "history", "--json")
    assert len(json.loads(history)) == 4
    embedded = json.loads(shared.run("stack", "output", "--json", "--show-secrets").out)
    assert embedded == json.loads(official(shared, "stack", "output", "--json", "--show-secrets"))
    assert shared.run("destroy", "--yes").code == 0
    (stack,) = json.loads(official(shared, "stack", "ls", "--json"))
    assert stack["resourceCount"] == 0
    official(shared, "stack", "rm", "--yes", "--preserve-config")


def test_the_embedded_engine_can_continue_a_stack_of_the_official_one_and_vice_versa(
    shared: PulumiProject,
) -> None:
    official(shared, "stack", "init", "theirs")
    shared.program(MIXED)
    official(shared, "config", "set", "--secret", "word", "hush")
    official(shared, "up", "--yes")
    assert shared.run("preview", "--expect-no-changes").code == 0  # it is selected for both
    ran = shared.up("--refresh")
    assert "unchanged" in ran.out and "hush" not in ran.text
    shared.program("")
    shared.up()
    assert shared.cloud == {}
    official(shared, "up", "--yes", "--expect-no-changes")
    official(shared, "destroy", "--yes")
    assert shared.run("stack", "rm", "--yes").code == 0


@pytest.mark.parametrize("name", HISTORIES)
def test_both_engines_produce_the_same_states(shared: PulumiProject, name: str) -> None:
    """The same program versions, each engine on a stack of its own."""
    reached: dict[str, list[Any]] = {}
    for engine in ("embedded", "official"):
        reached[engine] = []
        (shared.folder / "cloud.json").write_text("{}")
        for version in HISTORIES[name]:
            shared.program(version)
            if engine == "embedded":
                shared.run("up", "--yes", "--skip-preview")
            else:
                subprocess.run(
                    ["pulumi", "up", "--yes", "--skip-preview", "-C", str(shared.folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    check=False,
                )
            reached[engine].append((comparable(shared), sorted(shared.cloud)))
        shared.run("stack", "rm", "--yes", "--force", "--remove-backups", "--preserve-config")
        shared.run("stack", "select", "--create", "dev")
    for embedded, theirs in zip(reached["embedded"], reached["official"], strict=True):
        assert embedded == theirs


def property_lines(text: str) -> list[str]:
    """The lines of a preview with --diff that add, change or remove properties."""
    lines = re.findall(r"^ +(?:[~+-] +|\[id=)\S.*$", text, re.MULTILINE)
    return sorted(line for line in lines if "pulumi-python:" not in line)


def test_both_engines_preview_the_same_changes(shared: PulumiProject) -> None:
    shared.program(
        'a = Thing("a", size=20, text="x", tags={"x": 1, "gone": "y", "deep": {"k": [1, 2]}})\n'
        'Thing("b", of=a.serial)\nThing("d")\nThing("p", word=pulumi.Output.secret("hush"))'
    )
    shared.up()
    shared.program(
        'a = Thing("a", size=30, text="x", tags={"x": 2, "deep": {"k": [1, 5, 3]}}, flag=True)\n'
        'n = Thing("n", word=pulumi.Output.secret("s"))\nThing("b", of=n.serial)\n'
        'Thing("p", size=2, word=pulumi.Output.secret("hush"))\npulumi.export("new", [1])'
    )
    theirs = official(shared, "preview", "--diff")
    ours = shared.run("preview", "--diff").out
    assert "      ~ size : 20 => 30" in property_lines(ours)
    assert property_lines(ours) == property_lines(theirs)

    digests = [
        json.loads(text)
        for text in (shared.run("preview", "--json").out, official(shared, "preview", "--json"))
    ]
    for digest in digests:
        assert digest.pop("duration") > 0
        digest["steps"].sort(key=lambda step: step["urn"])
        for step in digest["steps"]:
            step.pop("diffReasons", None)  # which the embedded engine knows without the provider
            for state in (step.get("oldState") or {}, step.get("newState") or {}):
                for key in ("created", "modified", "sourcePosition", "stackTrace"):
                    state.pop(key, None)
                # The official one lists properties without dependencies too.
                state["propertyDependencies"] = {
                    key: value
                    for key, value in state.get("propertyDependencies", {}).items()
                    if value
                }
    assert digests[0] == digests[1]


def test_both_engines_hide_the_same_in_messages_and_config(shared: PulumiProject) -> None:
    """In the resources of this JSON, the official CLI hides only values marked as secret."""
    set_secrets(shared)
    shared.program(LEAKS)
    texts = shared.run("preview", "--json").out, official(shared, "preview", "--json")
    ours, theirs = (json.loads(text[text.index("{") :]) for text in texts)
    assert_hidden(texts[0])
    assert_hidden(json.dumps(theirs["diagnostics"]))
    assert [entry["message"].strip() for entry in ours["diagnostics"]] == [
        entry["message"].strip() for entry in theirs["diagnostics"]
    ]
    assert ours["config"] == theirs["config"]
