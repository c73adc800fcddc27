"""Fixed placeholders for values that only a user, Pulumi or Google Cloud can provide."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pulumi.runtime import mocks

from infra.settings import access, keys
from model_export.spec import WEIGHTS_LICENCE

PROJECT_ID = "your-project-id"
PROJECT_NUMBER = 123456789012
SOURCE_RANGES = "203.0.113.0/24"
"""A range reserved for documentation (RFC 5737)."""
DIGEST = f"sha256:{64 * '0'}"
ADDRESS = "203.0.113.1"
KUBERNETES = "1.34.1-gke.1000000"
AUTO_NAME_SUFFIX = "-0000000"
"""Pulumi appends seven random hexadecimal digits."""
UID = "00000000-0000-0000-0000-000000000000"
MODEL_BYTES = 20_000_000


def missing_settings(config: Mapping[str, str], project: str) -> dict[str, str]:
    """Placeholders for the settings that the user must set."""
    if config.get(f"{project}:target") != "gke":
        return {}
    found: dict[str, str] = {}
    if "gcp:project" not in config:
        found["gcp:project"] = PROJECT_ID
    licence = f"{project}:acceptLicence"
    if config.get(f"{project}:modelFamily") == "sd14" and not config.get(licence):
        found[licence] = WEIGHTS_LICENCE
    ranges = f"{project}:{access.RANGES}"
    own = {key.removeprefix(f"{project}:"): value for key, value in config.items()}
    if not config.get(ranges) and access.is_open(own) and own.get("internal") != "true":
        found[ranges] = SOURCE_RANGES
    given = json.loads(config.get(f"{project}:{keys.API_KEYS}") or "{}")
    if not given or any(isinstance(key, dict) for key in given.values()):  # encrypted
        found[f"{project}:{keys.API_KEYS}"] = keys.PLACEHOLDER
    return found


def outputs(resource: mocks.MockResourceArgs) -> dict[str, Any]:
    """The outputs that a provider would add, above all the name."""
    kind, inputs = resource.typ, resource.inputs
    name = f"{resource.name}{AUTO_NAME_SUFFIX}"
    if kind.startswith("kubernetes:"):
        metadata = {"name": name, "uid": UID, **inputs.get("metadata", {})}
        status = {"loadBalancer": {"ingress": [{"ip": ADDRESS}]}}
        is_service = kind == "kubernetes:core/v1:Service"
        return {"metadata": metadata, **({"status": status} if is_service else {})}
    if kind == "gcp:container/cluster:Cluster":
        endpoint = {"endpoint": "gke-0000000.gke.goog", "allowExternalTraffic": True}
        return {
            "name": name,
            "controlPlaneEndpointsConfig": {"dnsEndpointConfig": endpoint},
            "masterVersion": KUBERNETES,
            "privateClusterConfig": {"masterIpv4CidrBlock": ""},
        }
    if kind == "gcp:storage/bucket:Bucket":
        return {"name": name, "projectNumber": PROJECT_NUMBER}
    if kind in ("gcp:compute/address:Address", "gcp:compute/globalAddress:GlobalAddress"):
        return {"name": name, "address": ADDRESS}
    if kind == "gcp:serviceaccount/account:Account":
        email = f"{name}@{PROJECT_ID}.iam.gserviceaccount.com"
        return {"accountId": name, "email": email, "member": f"serviceAccount:{email}"}
    if kind.endswith(":LocalModelServer"):
        host, rest, grpc = inputs["host"], int(inputs["restPort"]), int(inputs["grpcPort"])
        return {"endpoint": f"http://{host}:{rest}", "grpcEndpoint": f"{host}:{grpc}"}
    if kind.endswith(":LocalWebService"):
        return {"endpoint": f"http://{inputs['host']}:{int(inputs['port'])}"}
    if kind.endswith(":ModelExport"):
        uri = f"{inputs['destination']}/{inputs['fingerprint']}"
        return {"uri": uri, "sizeBytes": MODEL_BYTES}
    if kind.endswith(":BaseImage"):
        return {"pinned": f"{inputs['image']}@{DIGEST}"}
    if kind.endswith(":WebImage"):
        return {"reference": f"{inputs['repository']}/web@{DIGEST}"}
    if kind.startswith("gcp:") and "name" not in inputs:
        return {"name": name}
    return {}


def invoked(call: mocks.MockCallArgs) -> dict[str, Any]:
    """The result of an invoke."""
    if call.token == "gcp:compute/getAddress:getAddress":
        return {"name": call.args["name"], "address": ADDRESS}
    raise LookupError(f"the program invokes {call.token}, which has no placeholder")
