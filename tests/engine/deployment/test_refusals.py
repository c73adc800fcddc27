"""Unsupported features are refused in one line, before any provider is called."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.engine.pulumi_project import PulumiProject, Ran

OTHER_PACKAGE = """
class Bucket(pulumi.CustomResource):
    def __init__(self, name, opts=None):
        super().__init__("gcp:storage/bucket:Bucket", name, {"x": 1, "y": None}, opts)
"""
PROGRAMS = {
    "provider plugin": OTHER_PACKAGE + 'Bucket("b")',
    "explicit provider": 'pulumi.ProviderResource("gcp", "p", {})',
    "invoke": 'pulumi.runtime.invoke("gcp:compute:getZones", {})',
    "stack reference": 'pulumi.StackReference("organization/other/dev")',
    "get": OTHER_PACKAGE + 'Bucket("b", Options(id="there"))',
    "import": 'Thing("b", opts=Options(import_="there"))',
    "transform": 'Thing("b", opts=Options(transforms=[lambda args: None]))',
    "stack transform": "pulumi.runtime.register_resource_transform(lambda args: None)\nThing('b')",
    "invoke transform": ("pulumi.runtime.register_invoke_transform(lambda args: None)\nThing('b')"),
    "state migration": 'Thing("b", opts=Options(state_migrations=[lambda args: None]))',
    "method call": 'pulumi.runtime.call("pkg:index:method", {}, a)',
    "package": """
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import get_monitor
get_monitor().RegisterPackage(resource_pb2.RegisterPackageRequest(name="pkg", version="1.0.0"))
""",
    "existence": """
from pulumi.runtime.resource import exists_resource
pulumi.export("there", exists_resource(None, "gcp:a:B", "there", {}, Options()))
""",
    "hook": """
hook = pulumi.ResourceHook("before", lambda args: None)
Thing("b", opts=Options(hooks=pulumi.ResourceHookBinding(before_create=[hook])))
""",
    "hook on the stack": """
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import get_monitor
get_monitor().RegisterResourceHook(resource_pb2.RegisterResourceHookRequest(name="h"))
""",
    "error hook": """
hook = pulumi.ErrorHook("retry", lambda args: False)
Thing("b", opts=Options(hooks=pulumi.ResourceHookBinding(on_error=[hook])))
""",
    "asset": 'Thing("b", file=pulumi.StringAsset("text"))',
    "asset in a list": 'Thing("b", files=[{"x": pulumi.FileAsset("Pulumi.yaml")}])',
    "secret asset": 'Thing("b", file=pulumi.Output.secret(pulumi.StringAsset("text")))',
    "asset of a component": (
        'pulumi.ComponentResource("t:i:C", "c", {"file": pulumi.StringAsset("text")})'
    ),
    "asset among the stack's outputs": 'pulumi.export("file", pulumi.StringAsset("text"))',
    "asset among a component's outputs": (
        'c = pulumi.ComponentResource("t:i:C", "c")\n'
        'c.register_outputs({"file": pulumi.StringAsset("text")})'
    ),
    "remote archive": 'Thing("b", files=pulumi.RemoteArchive("https://host/file.tgz"))',
    "archive": 'Thing("b", files=pulumi.AssetArchive({"a": pulumi.StringAsset("text")}))',
    "remote component": """
class Remote(pulumi.ComponentResource):
    def __init__(self):
        super().__init__("pkg:index:Remote", "r", {}, None, True)
Remote()
""",
    "byte string": (
        'Thing("b", data={"4dabf18193072939515e22adb298388d": '
        '"803fd3297a5875dc03ca845dda5d2a98", "value": "AA=="})'
    ),
    "replace with": 'Thing("b", opts=Options(replace_with=[a]))',
    "replacement trigger": 'Thing("b", opts=Options(replacement_trigger=1))',
}


# Keys of resources in a state that only the official engine supports.
MARKS: dict[str, Any] = {
    "resourceHooks": {"beforeCreate": ["h"]},
    "taint": True,
    "replaceWith": ["urn:pulumi:dev::things::a:b:C::d"],
    "replacementTrigger": 1,
    "viewOf": "urn:pulumi:dev::things::a:b:C::d",
    "extensionRef": "x",
    "snippetID": "1",
    "refreshBeforeUpdate": True,
}


def assert_refused(ran: Ran) -> None:
    assert ran.code == 1, ran.text
    (line,) = ran.err.splitlines()
    assert line.startswith("error: the embedded engine cannot run this: ")
    assert "install the Pulumi CLI (https://" in line


@pytest.mark.parametrize("feature", PROGRAMS)
def test_an_unsupported_program_is_refused_before_any_provider_call(
    project: PulumiProject, feature: str
) -> None:
    project.program(f'a = Thing("a")\n{PROGRAMS[feature]}\n')
    before = project.checkpoint.read_text()
    assert_refused(project.run("up", "--yes", "--skip-preview"))
    assert project.calls() == []
    assert project.checkpoint.read_text() == before


def test_a_refusal_names_the_unsupported_feature(project: PulumiProject) -> None:
    project.program(PROGRAMS["provider plugin"])
    ran = project.run("preview")
    assert_refused(ran)
    assert "gcp:storage/bucket:Bucket b needs the provider plugin of the package 'gcp'" in ran.err


def write_edited(project: PulumiProject, change: str) -> str:
    """Write a checkpoint that holds the stack alone, and this change."""
    entry = {
        "urn": "urn:pulumi:dev::things::pulumi:pulumi:Stack::things-dev",
        "custom": False,
        "type": "pulumi:pulumi:Stack",
    }
    document = json.loads(project.checkpoint.read_text())
    document["checkpoint"]["latest"]["resources"] = [entry]
    text = json.dumps(edited(document, change))
    project.checkpoint.write_text(text)
    return text


def edited(document: dict[str, Any], change: str) -> dict[str, Any]:
    latest = document["checkpoint"]["latest"]
    foreign = {"urn": "urn:pulumi:dev::things::gcp:a:B::b", "custom": True, "type": "gcp:a:B"}
    match change:
        case "version":
            document["version"] = 4
        case "features":
            document["features"] = ["taint"]
        case "another package":
            latest["resources"] = [*latest["resources"], foreign]
        case "another provider":
            provider = {**foreign, "type": "pulumi:providers:gcp", "id": "1"}
            latest["resources"] = [*latest["resources"], provider]
        case "an explicit provider":
            provider = {**foreign, "type": "pulumi:providers:pulumi-python", "id": "1"}
            provider["urn"] = "urn:pulumi:dev::things::pulumi:providers:pulumi-python::mine"
            latest["resources"] = [*latest["resources"], provider]
        case "snippets":
            latest["snippets"] = [{"uuid": "1"}]
        case "secrets provider":
            latest["secrets_providers"]["type"] = "cloud"
        case "nothing":
            pass
        case _:
            latest["resources"][0][change] = MARKS[change]
    return document


@pytest.mark.parametrize(
    "change",
    [
        "version",
        "features",
        "another package",
        "another provider",
        "an explicit provider",
        "snippets",
        "secrets provider",
        *MARKS,
    ],
)
def test_an_unsupported_checkpoint_is_refused(project: PulumiProject, change: str) -> None:
    project.program('Thing("a")')
    write_edited(project, "nothing")
    assert project.run("preview").code == 0
    project.calls()
    text = write_edited(project, change)
    for verb in (["up", "--yes"], ["refresh", "--yes"], ["destroy", "--yes"], ["preview"]):
        assert_refused(project.run(*verb))
    assert project.calls() == [] and project.checkpoint.read_text() == text


def test_unsupported_backends_and_layouts_are_refused(
    project: PulumiProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    for suffix in (".gz", ".zst"):
        compressed = project.checkpoint.with_name(f"dev.json{suffix}")
        compressed.write_bytes(b"")
        assert_refused(project.run("preview"))
        compressed.unlink()
    meta = project.backend / "meta.yaml"
    meta.write_text("version: 2\n")
    assert_refused(project.run("preview"))
    meta.unlink()
    (project.backend / "stacks" / "dev.json").write_text("{}")
    assert_refused(project.run("preview"))
    for url in ("gs://bucket", "s3://bucket", "azblob://container", "https://api.pulumi.com"):
        monkeypatch.setenv("PULUMI_BACKEND_URL", url)
        assert_refused(project.run("preview"))
    monkeypatch.delenv("PULUMI_BACKEND_URL")
    project_file = project.folder / "Pulumi.yaml"
    project_file.write_text(project_file.read_text() + "backend: {url: s3://bucket}\n")
    assert_refused(project.run("preview"))


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("Pulumi.yaml", "name: things\nruntime: nodejs\n", "nodejs"),
        ("Pulumi.yaml", "name: things\nruntime: {name: go, options: {}}\n", "go"),
        ("Pulumi.dev.yaml", "secretsprovider: awskms://key\n", "secretsprovider"),
        ("Pulumi.dev.yaml", "encryptedkey: a2V5\n", "encryptedkey"),
        ("Pulumi.dev.yaml", "environment: [shared]\n", "environment"),
    ],
)
def test_unsupported_project_and_stack_files_are_refused(
    project: PulumiProject, file: str, text: str, says: str
) -> None:
    (project.folder / file).write_text(text)
    ran = project.run("preview")
    assert_refused(ran)
    assert says in ran.err.partition("cannot run this: ")[2].partition(" install ")[0], ran.err
