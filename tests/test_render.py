"""`make render`: the table and the manifests of a stack, valid for every supported Kubernetes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from render import manifests, table
from render.__main__ import main, write
from render.placeholders import PROJECT_ID, SOURCE_RANGES
from render.recorder import run_program
from tests.stacks import GKE_STACKS, kubernetes_objects, run_of

SUPPORTED_MINORS = ("1.33", "1.34", "1.35", "1.36")


def documents(folder: Path) -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text()) for path in sorted(folder.rglob("*.yaml"))]


@pytest.fixture(params=[*GKE_STACKS, "dev over fuse"])
def rendered(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    stack, _, fuse = request.param.partition(" over ")
    write(run_of(stack, modelAccess="fuse") if fuse else run_of(stack), tmp_path)
    return tmp_path


def test_every_object_has_a_file_and_the_namespace_its_own_folder(rendered: Path) -> None:
    assert [p.name for p in (rendered / "namespace").iterdir()] == ["namespace.yaml"]
    kinds = {p.stem for p in (rendered / "kubernetes").iterdir()}
    assert kinds == {
        "configmap",
        "deployment",
        "horizontalpodautoscaler",
        "networkpolicy",
        "poddisruptionbudget",
        "service",
        "serviceaccount",
    }


@pytest.mark.parametrize("minor", SUPPORTED_MINORS)
def test_every_manifest_passes_strict_validation(rendered: Path, minor: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for document in documents(rendered):
        kubernetes_validate.validate(document, minor, strict=True)


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
    assert f"gcp:project is not set; using the placeholder {PROJECT_ID}" in printed
    assert f"allowedSourceRanges is not set; using the placeholder {SOURCE_RANGES}" in printed
    assert "wrote 9 files to " in printed


def test_an_unknown_stack_is_reported_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stack", "moon"]) == 1
    assert capsys.readouterr().err == (
        "error: there is no stack moon: Pulumi.moon.yaml does not exist\n"
    )
