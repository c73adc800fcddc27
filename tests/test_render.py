"""`make render`: the table and the manifests of a stack, valid for every supported Kubernetes."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from render import __main__ as render_main
from render import manifests, recorder, table
from render.__main__ import main, write
from render.placeholders import PROJECT_ID
from render.recorder import Run, record, run_program
from tests.dashboards.google import assert_google_takes
from tests.serving import gateway_kinds, pod_monitoring_kind
from tests.stacks import GKE_STACKS, kubernetes_objects, run_of

CUSTOM_KINDS = {"PodMonitoring": pod_monitoring_kind.SPEC, **gateway_kinds.SPECS}
WAYS: dict[str, dict[str, str]] = {
    **{stack: {} for stack in GKE_STACKS},
    "dev over fuse": {"modelAccess": "fuse"},
    "prod with a domain": {"domain": "draw.example.com"},
}
GATEWAYS = tuple(gateway_kinds.SPECS)
SUPPORTED_MINORS = ("1.33", "1.34", "1.35", "1.36")


def documents(folder: Path) -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text()) for path in sorted(folder.rglob("*.yaml"))]


@pytest.fixture(params=WAYS)
def rendered(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    stack = request.param.partition(" ")[0]
    write(run_of(stack, **WAYS[request.param]), tmp_path)
    return tmp_path


def test_every_object_has_a_file_and_the_namespace_its_own_folder(
    rendered: Path, request: pytest.FixtureRequest
) -> None:
    (namespace,) = (rendered / "namespace").iterdir()
    assert namespace.name == "namespace-diffusion-serving.yaml"
    names = {p.name for p in (rendered / "kubernetes").iterdir()}
    (config,) = {name for name in names if name.startswith("configmap-")}
    of_domain = {name for name in names if name.partition("-")[0] in map(str.lower, GATEWAYS)}
    assert len(of_domain) == (6 if "domain" in request.node.callspec.id else 0)
    assert names - {config} - of_domain == {
        "deployment-model-server.yaml",
        "horizontalpodautoscaler-model-server.yaml",
        "networkpolicy-model-server.yaml",
        "poddisruptionbudget-model-server.yaml",
        "podmonitoring-model-server.yaml",
        "secret-web-keys.yaml",
        "service-model-server.yaml",
        "service-web.yaml",
        "serviceaccount-model-server.yaml",
    }


def test_a_file_is_named_by_its_objects_kind_and_name(rendered: Path) -> None:
    for path in rendered.rglob("*.yaml"):
        document = yaml.safe_load(path.read_text())
        assert path.stem == f"{document['kind'].lower()}-{document['metadata']['name']}"


@pytest.mark.parametrize("minor", SUPPORTED_MINORS)
def test_every_manifest_passes_strict_validation(rendered: Path, minor: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for document in documents(rendered):
        if document["kind"] not in CUSTOM_KINDS:
            kubernetes_validate.validate(document, minor, strict=True)


def test_every_object_of_a_custom_kind_is_valid_too(rendered: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    custom = [one for one in documents(rendered) if one["kind"] in CUSTOM_KINDS]
    assert "PodMonitoring" in {one["kind"] for one in custom}
    for one in custom:
        jsonschema.validate(one["spec"], closed(CUSTOM_KINDS[one["kind"]]))


def closed(schema: Any) -> Any:
    """A schema that refuses what it does not name, as an API server does in strict mode."""
    if not isinstance(schema, dict):
        return [closed(one) for one in schema] if isinstance(schema, list) else schema
    inner = {key: closed(value) for key, value in schema.items()}
    is_object = schema.get("type") == "object" and "properties" in schema
    return inner | ({"additionalProperties": False} if is_object else {})


@pytest.mark.parametrize("kind", gateway_kinds.SPECS)
def test_an_object_with_a_field_that_its_kind_does_not_have_is_found(kind: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    run = run_of("prod", domain="draw.example.com")
    spec = run.of(kind)[0].inputs["spec"]
    jsonschema.validate(spec, closed(CUSTOM_KINDS[kind]))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spec | {"nonsense": 1}, closed(CUSTOM_KINDS[kind]))


def test_manifests_refer_to_each_other(rendered: Path) -> None:
    by_kind = {document["kind"]: document for document in documents(rendered)}
    config = by_kind["ConfigMap"]["metadata"]["name"]
    volumes = by_kind["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert config in [v["configMap"]["name"] for v in volumes if "configMap" in v]
    assert all("None" not in path.read_text() for path in rendered.rglob("*.yaml"))


def test_the_table_as_json_has_every_resource(rendered: Path) -> None:
    content = json.loads((rendered / "resources.json").read_text())
    kinds = [row["type"] for row in content]
    assert kinds == sorted(kinds)
    cluster = next(row for row in content if row["type"].endswith(":Cluster") and row["cloudName"])
    assert cluster["cloudName"] == "diffusion-0000000"
    assert any(need.startswith("gcp:compute/network:Network") for need in cluster["needs"])


def test_the_dashboard_is_written_as_google_gets_it(rendered: Path) -> None:
    (file,) = (rendered / "dashboards").iterdir()
    assert file.name == "diffusion.json"
    assert_google_takes(json.loads(file.read_text()))


def several() -> None:
    """A program with custom resources, beside typed objects of the same kinds and names."""
    from pulumi_kubernetes import apiextensions, core, helm, meta

    named = [meta.v1.ObjectMetaArgs(name="web", namespace=one) for one in ("a", "b")]
    for metadata in named:
        core.v1.Service(str(metadata.namespace), metadata=metadata)
    apiextensions.CustomResource(
        "web",
        api_version="serving.knative.dev/v1",
        kind="Service",
        metadata=named[0],
        spec={"template": {"spec": {"timeoutSeconds": 600}}},
    )
    apiextensions.CustomResource("peer", api_version="x.org/v1alpha1", kind="Peer")
    core.v1.ConfigMapPatch("patch", metadata=meta.v1.ObjectMetaPatchArgs(name="theirs"))
    helm.v3.Release("operator", chart="operator")


@pytest.fixture(scope="module")
def several_objects() -> Run:
    return record(several, "local", {}, {})


def test_a_failed_program_leaves_nothing_that_a_later_one_waits_for() -> None:
    def refuse(_: int) -> None:
        raise pulumi.RunError("too old")

    def failing() -> None:
        known = pulumi.Output.from_input(1)
        pulumi.Output.all(known, asyncio.get_running_loop().create_future()).apply(str)
        known.apply(refuse)

    with pytest.raises(pulumi.RunError, match="too old"):
        record(failing, "local", {}, {})
    tasks = [one for one in gc.get_objects() if isinstance(one, asyncio.Task)]
    assert [one for one in tasks if not one.done()] == []
    assert len(record(several, "local", {}, {}).resources) == 6


def test_no_two_objects_share_a_file(several_objects: Run, tmp_path: Path) -> None:
    assert write(several_objects, tmp_path) == 6
    assert sorted(path.name for path in (tmp_path / "kubernetes").iterdir()) == [
        "configmap-theirs.yaml",
        "peer-peer-0000000.yaml",
        "service.core-a-web.yaml",
        "service.core-b-web.yaml",
        "service.serving.knative.dev-a-web.yaml",
    ]


def test_a_custom_resource_has_its_own_api_version(several_objects: Run, tmp_path: Path) -> None:
    write(several_objects, tmp_path)
    written = {(one["apiVersion"], one["kind"]): one for one in documents(tmp_path)}
    assert set(written) == {
        ("v1", "Service"),
        ("serving.knative.dev/v1", "Service"),
        ("x.org/v1alpha1", "Peer"),
        ("v1", "ConfigMap"),
    }
    knative = written["serving.knative.dev/v1", "Service"]
    assert knative["spec"] == {"template": {"spec": {"timeoutSeconds": 600}}}


def test_a_second_run_replaces_its_own_files_and_names_those_of_others(
    several_objects: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(several_objects, tmp_path)
    theirs = tmp_path / "kubernetes" / "theirs.yaml"
    theirs.write_text("kind: ConfigMap\n")
    assert main(["--stack", "dev", "--out", str(tmp_path)]) == 0
    assert f"note: {theirs} is not from here" in capsys.readouterr().out
    assert theirs.read_text() == "kind: ConfigMap\n"
    assert not list((tmp_path / "kubernetes").glob("service.*"))
    assert (tmp_path / "kubernetes/service-model-server.yaml").is_file()


def test_multi_line_texts_are_readable() -> None:
    (config,) = (r for r in kubernetes_objects(run_of("dev")) if r.type.endswith(":ConfigMap"))
    text = manifests.to_yaml(manifests.manifest(config))
    assert "batching.config: |\n    max_batch_size" in text


def test_the_table_is_deterministic_and_shows_protection() -> None:
    text = table.as_text(table.rows(run_of("prod")))
    assert text == table.as_text(table.rows(run_program("prod")))
    prod = text.splitlines()
    (bucket,) = (line for line in prod if line.startswith("gcp:storage/bucket:Bucket "))
    assert bucket.split()[2] == "yes"
    (network,) = (line for line in prod if line.startswith("gcp:compute/network:Network "))
    assert network.split()[2] != "yes"


def test_the_command_prints_the_table_and_names_placeholders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--stack", "dev", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "kubernetes:apps/v1:Deployment" in printed
    assert f"gcp:project: using the placeholder {PROJECT_ID}" in printed
    assert "apiKeys: using the placeholder {" in printed
    assert "wrote 13 files to " in printed


def test_an_unknown_stack_is_reported_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stack", "moon"]) == 1
    assert capsys.readouterr().err == (
        "error: there is no stack moon: Pulumi.moon.yaml does not exist\n"
    )


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a stack of one's own, beside a copy of Pulumi.yaml."""
    shutil.copy(recorder.ROOT / "Pulumi.yaml", tmp_path)
    for module in (recorder, render_main):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    return tmp_path / "Pulumi.mine.yaml"


@pytest.mark.parametrize("content", [b"config: [a", b"[]", b"a: 1\na: 2", b"\xff\xfea\x00"])
def test_a_file_that_is_no_stacks_is_reported_in_one_line(
    mine: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    mine.write_bytes(content)
    assert main(["--stack", "mine"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and str(mine) in line


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "config:\n"])
def test_an_empty_file_has_the_defaults(mine: Path, content: str) -> None:
    mine.write_text(content)
    assert recorder.stack_config("mine")["diffusion-serving:target"] == "local"


def test_a_key_without_a_namespace_is_the_projects(mine: Path) -> None:
    mine.write_text("config:\n  spot: true\n  gcp:project: my-project-1\n")
    config = recorder.stack_config("mine")
    assert config["diffusion-serving:spot"] == "true"
    assert config["gcp:project"] == "my-project-1"
    assert "spot" not in config


def test_a_stack_may_be_named_with_its_organization(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stack", "ada/diffusion-serving/local"]) == 0
    assert "LocalModelServer" in capsys.readouterr().out
