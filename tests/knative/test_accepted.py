"""Knative itself accepts what the stack registers: its schemas, its defaulting and its validation.

KNATIVE_CRDS names a folder with the custom resource definitions of Knative Serving and of its
operator. `knative-validate` on PATH reads {"service": …, "config": …} as JSON, applies Knative's
own defaults and validation as its webhook does, prints the spec with its defaults, and fails where
Knative would refuse it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from render.manifests import manifest
from render.recorder import Run
from tests.knative.objects import SERVING, workers
from tests.stacks import run_of

CRDS = os.environ.get("KNATIVE_CRDS", "")
VALIDATOR = "knative-validate"
VARIANTS: dict[str, dict[str, str]] = {
    "as committed": {},
    "over gs": {"modelAccess": "gs", "requestTimeoutSeconds": "200"},
    "open to ranges": {"allowPlainHttp": "true"},
    "a canary": {"stableRevision": "diffusion-0123456789abcdef-01234567", "canaryPercent": "5"},
}

needs_schemas = pytest.mark.skipif(not CRDS, reason="KNATIVE_CRDS names no folder of schemas")
needs_validator = pytest.mark.skipif(
    shutil.which(VALIDATOR) is None, reason=f"{VALIDATOR} is not on PATH"
)


def documents(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """The Knative Service, and the KnativeServing."""
    return manifest(workers(run)), manifest(run.one(SERVING))


def schema_of(document: dict[str, Any]) -> dict[str, Any]:
    """Of a kind and version, which refuses what an API server would drop."""
    group, _, version = document["apiVersion"].partition("/")
    for path in sorted(Path(CRDS).rglob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            spec = one["spec"] if one and one["kind"] == "CustomResourceDefinition" else {}
            names = spec.get("names", {})
            if (spec.get("group"), names.get("kind")) == (group, document["kind"]):
                (found,) = (v for v in spec["versions"] if v["name"] == version)
                return closed(found["schema"]["openAPIV3Schema"])
    pytest.fail(f"{CRDS} has no schema of {document['apiVersion']} {document['kind']}")


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, without unknown fields where it does not allow them."""
    result = dict(schema)
    if schema.get("x-kubernetes-int-or-string"):
        result.pop("type", None)
    if "properties" in schema:
        properties = cast("dict[str, dict[str, Any]]", schema["properties"])
        result["properties"] = {key: closed(value) for key, value in properties.items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            result["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            result[key] = closed(schema[key])
    return result


@needs_schemas
@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_both_custom_resources_fit_knatives_schemas(variant: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    for document in documents(run_of("knative", **VARIANTS[variant])):
        schema = schema_of(document)
        # The API server's own.
        schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
        problems = jsonschema.Draft202012Validator(schema).iter_errors(document)
        assert [f"{one.json_path}: {one.message}" for one in problems] == []


@needs_schemas
@pytest.mark.slow
def test_a_misspelt_field_does_not_fit() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    service, serving = documents(run_of("knative"))
    service["spec"]["template"]["spec"]["containerConcurency"] = 1
    serving["spec"]["ingress"]["kourier"]["serviceType"] = "ClusterIP"
    for document in (service, serving):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document["spec"], schema_of(document)["properties"]["spec"])


def validated(service: dict[str, Any], config: dict[str, Any]) -> tuple[int, str]:
    """The exit code and what is printed."""
    ran = subprocess.run(
        [VALIDATOR],
        input=json.dumps({"service": service, "config": config}, default=int),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return ran.returncode, ran.stdout


def whole(value: Any) -> Any:
    """Pulumi's numbers are floats, and an API server's are not."""
    if isinstance(value, dict):
        return {key: whole(one) for key, one in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [whole(one) for one in cast("list[Any]", value)]
    return int(value) if isinstance(value, float) else value


@needs_validator
@pytest.mark.long
@pytest.mark.parametrize("variant", VARIANTS)
def test_knatives_own_validation_accepts_the_service_with_the_stacks_configuration(
    variant: str,
) -> None:
    service, serving = documents(run_of("knative", **VARIANTS[variant]))
    code, printed = validated(whole(service), serving["spec"]["config"])
    assert code == 0, printed
    spec = json.loads(printed.splitlines()[-1])["template"]["spec"]
    # Its defaults change nothing that matters here.
    assert spec["containerConcurrency"] == 1
    assert spec["timeoutSeconds"] == whole(service)["spec"]["template"]["spec"]["timeoutSeconds"]
    assert spec["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/ready"


@needs_validator
@pytest.mark.long
@pytest.mark.parametrize(
    "feature",
    [
        "kubernetes.podspec-nodeselector",
        "kubernetes.podspec-tolerations",
        "kubernetes.podspec-securitycontext",
        "kubernetes.podspec-init-containers",
        "kubernetes.podspec-volumes-csi",
        "multi-container-probing",
    ],
)
def test_every_feature_that_is_switched_on_is_needed(feature: str) -> None:
    service, serving = documents(run_of("knative"))
    config = dict(serving["spec"]["config"])
    config["features"] = config["features"] | {feature: "disabled"}
    code, printed = validated(whole(service), config)
    assert code != 0, printed


@needs_validator
@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"timeoutSeconds": 601}, "timeoutSeconds"),
        ({"responseStartTimeoutSeconds": 601, "timeoutSeconds": 700}, "timeoutSeconds"),
        ({"terminationGracePeriodSeconds": 600}, "terminationGracePeriodSeconds"),
    ],
)
def test_knative_refuses_what_the_table_of_times_keeps_out(
    change: dict[str, int], says: str
) -> None:
    service, serving = documents(run_of("knative"))
    service["spec"]["template"]["spec"] |= change
    code, printed = validated(whole(service), serving["spec"]["config"])
    assert code != 0 and says in printed
