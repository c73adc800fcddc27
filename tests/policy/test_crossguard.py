"""The rules as a CrossGuard pack. The program's environment lacks the pack's SDK."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from policy import rules
from render.recorder import ROOT
from tests.stacks import run_of

PACK = ROOT / "policy" / "crossguard"


def violations(stack: str, **changes: str) -> dict[str, list[str]]:
    """The violations of each policy for a stack, by name."""
    sdk: Any = pytest.importorskip(
        "pulumi_policy",
        reason="pulumi-policy needs another protobuf than TensorFlow: the CLI installs it apart",
    )
    from policy.crossguard.pack import policies

    timeouts = sdk.PolicyCustomTimeouts(0, 0, 0)
    resources = [
        sdk.PolicyResource(
            resource_type=r.type,
            # The resource as the engine sends it, round-tripped through JSON.
            props=json.loads(json.dumps({**r.inputs, **r.outputs})),
            urn=r.urn,
            name=r.name,
            opts=sdk.PolicyResourceOptions(r.protect, [], None, [], timeouts, []),
            provider=None,
            parent=None,
            dependencies=[],
            property_dependencies={},
        )
        for r in run_of(stack, **changes).resources
    ]
    found: dict[str, list[str]] = {}
    for policy in policies():
        lines: list[str] = found.setdefault(policy.name, [])
        policy.validate(
            sdk.StackValidationArgs(resources),
            lambda line, _urn=None, into=lines: into.append(line),
        )
    return found


def test_the_pack_has_a_policy_for_every_rule() -> None:
    named = {rule.__name__.replace("_", "-") for rule in (*rules.EVERYWHERE, rules.protected)}
    assert set(violations("prod")) == named


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_committed_stacks_comply_with_the_packs_policies(stack: str) -> None:
    found = violations(stack)
    warned = found.pop("protected")
    assert not any(found.values())
    assert bool(warned) is (stack == "dev")


def test_a_violation_is_reported_beside_what_a_preview_does_not_know() -> None:
    sdk: Any = pytest.importorskip("pulumi_policy", reason="the CLI installs it apart")
    proxy: Any = pytest.importorskip("pulumi_policy.proxy")
    from policy.crossguard.pack import policies

    options = sdk.PolicyResourceOptions(False, [], None, [], sdk.PolicyCustomTimeouts(0, 0, 0), [])
    resources = [
        sdk.PolicyResource(
            f"gcp:storage/{kind[0].lower()}{kind[1:]}:{kind}",
            proxy.unknown_checking_proxy(inputs),
            f"urn::{kind}",
            "one",
            options,
            None,
            None,
            [],
            {},
        )
        for kind, inputs in {
            "BucketIAMMember": {"member": proxy.UNKNOWN_STRING_VALUE},
            "Bucket": {"publicAccessPrevention": "inherited"},
        }.items()
    ]
    (policy,) = (one for one in policies() if one.name == "buckets-are-private")
    found: list[str] = []
    with pytest.raises(proxy.UnknownValueError):
        policy.validate(
            sdk.StackValidationArgs(resources), lambda line, _urn=None: found.append(line)
        )
    assert "Bucket one: publicAccessPrevention is not enforced" in found


def test_the_pack_has_its_own_environment() -> None:
    options = yaml.safe_load((PACK / "PulumiPolicy.yaml").read_text())["runtime"]
    assert options == {"name": "python", "options": {"virtualenv": "venv"}}
    (pinned,) = (
        line for line in (PACK / "requirements.txt").read_text().splitlines() if line[0] != "#"
    )
    assert pinned.startswith("pulumi-policy==")
    assert "pulumi-policy" not in (ROOT / "requirements.txt").read_text()
