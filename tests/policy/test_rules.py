"""Policy rules: every committed stack complies, and no rule trips over what is missing."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import pulumi
import pytest

from policy import rules
from policy.resource import Resource
from render.recorder import run_program
from tests.policy_resources import AUTOSCALER, bucket, compliant, deployment, resources_of
from tests.stacks import STACKS, run_of


@pytest.mark.parametrize("stack", STACKS)
def test_every_committed_stack_complies_with_the_rules(stack: str) -> None:
    resources = resources_of(run_of(stack))
    assert rules.violations(resources, must_be_protected=stack == "prod") == []


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_other_configurations_of_a_stack_also_comply(stack: str) -> None:
    changed = run_of(stack, modelAccess="fuse", internal="true", deletionProtection="true")
    assert rules.violations(resources_of(changed), must_be_protected=True) == []


@pytest.mark.parametrize("stack", ["dev", "prod", "knative"])
def test_a_stack_with_a_domain_complies_with_the_rules_already_at_its_first_preview(
    stack: str,
) -> None:
    """Also with everybody let in, where that is written down."""
    run = run_of(stack, domain="draw.example.com", allowedSourceRanges="0.0.0.0/0")
    assert rules.violations(resources_of(run), must_be_protected=stack == "prod") == []
    preview = run_program(stack, first_preview=True, domain="draw.example.com")
    seen = [Resource(r.type, r.name, Previewed(r.inputs)) for r in preview.resources]
    assert rules.public_gateways_are_guarded(seen) == []


def test_dev_is_not_protected_and_the_rule_reports_it() -> None:
    found = rules.protected(resources_of(run_of("dev")))
    assert {line.partition(" ")[0] for line in found} == {"Cluster", "Bucket", "Namespace"}


def test_compliant_resources_have_no_violations() -> None:
    assert rules.violations(compliant(), must_be_protected=True) == []


@pytest.mark.parametrize(
    ("resource", "says"),
    [
        (bucket(), "is not protected"),
        (bucket(protect=True, forceDestroy=True), "forceDestroy deletes all its objects"),
        (
            Resource("gcp:container/cluster:Cluster", "c", {}, protect=True),
            "no deletion protection",
        ),
    ],
)
def test_what_is_not_protected_is_reported(resource: Resource, says: str) -> None:
    assert any(says in line for line in rules.protected([resource]))


def test_replicas_beside_an_autoscaler_are_reported() -> None:
    found = rules.no_replicas_beside_an_autoscaler([deployment({"replicas": 2}), AUTOSCALER])
    assert found == ["Deployment d: sets replicas, which its autoscaler owns"]
    assert rules.no_replicas_beside_an_autoscaler([deployment({"replicas": 2})]) == []


def test_an_autoscaler_may_be_a_custom_resource() -> None:
    inputs = {"spec": {"scaleTargetRef": {"name": "d-1"}}}
    scaled = Resource("kubernetes:keda.sh/v1alpha1:ScaledObject", "s", inputs)
    assert rules.no_replicas_beside_an_autoscaler([deployment({"replicas": 2}), scaled])


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in nested inputs."""
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        yield (*path, key)
        yield from paths(value[key], (*path, key))


def replaced(inputs: Mapping[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed: Any = copy.deepcopy(dict(inputs))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


@pytest.mark.parametrize("value", [None, "", "text", 7, [], [None], {}, {"name": None}])
def test_no_rule_raises_whatever_is_missing_or_of_another_type(value: Any) -> None:
    run = run_of("dev", modelAccess="fuse", domain="draw.example.com")
    resources = [*compliant(), *resources_of(run)]
    for one in resources:
        for path in paths(one.inputs):
            broken = Resource(
                one.type, one.name, replaced(one.inputs, path, value), object_name=one.object_name
            )
            for rule in (*rules.EVERYWHERE, rules.protected):
                assert isinstance(rule([broken, AUTOSCALER]), list)


class Previewed(Mapping[str, Any]):
    """Inputs as the CLI gives them to a pack: reading what a preview does not know is an error."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self._inputs = inputs

    def __getitem__(self, key: str) -> Any:
        value = self._inputs[key]
        if isinstance(value, pulumi.output.Unknown):
            raise LookupError(f"{key} is not known")
        return _previewed(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._inputs)

    def __len__(self) -> int:
        return len(self._inputs)


def _previewed(value: Any) -> Any:
    if isinstance(value, dict):
        return Previewed(value)
    return tuple(_previewed(one) for one in value) if isinstance(value, list) else value


def test_a_first_preview_knows_what_the_rules_read_but_for_new_accounts_and_the_new_image() -> None:
    unknown: set[tuple[str, str]] = set()
    for r in run_program("prod", first_preview=True).resources:
        for rule in (*rules.EVERYWHERE, rules.protected):
            try:
                assert rule([Resource(r.type, r.name, Previewed(r.inputs), r.protect)]) == []
            except LookupError:
                unknown.add((rule.__name__, r.type.rpartition(":")[2]))
    assert unknown == {
        ("buckets_are_private", "IAMMember"),
        ("buckets_are_private", "BucketIAMMember"),
        ("buckets_are_private", "RepositoryIamMember"),
        ("no_floating_images", "Deployment"),  # by its digest, once it is made
    }


def test_every_rule_describes_itself_in_one_sentence() -> None:
    for rule in (*rules.EVERYWHERE, rules.protected):
        text = (rule.__doc__ or "").strip()
        assert text.endswith(".") and "\n" not in text, rule.__name__
