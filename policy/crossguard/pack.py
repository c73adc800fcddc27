"""Every rule as a stack policy, for `pulumi preview --policy-pack`.

Importing it starts no server. It needs the package pulumi-policy, which the program does not.
"""

from __future__ import annotations

from collections.abc import Sequence

from pulumi_policy import (
    EnforcementLevel,
    PolicyResource,
    ReportViolation,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from policy.resource import Resource, Rule
from policy.rules import EVERYWHERE, protected


def policies() -> list[StackValidationPolicy]:
    """All rules are mandatory except `protected`, which is advisory: a trial stack may be not."""
    return [
        *(_policy(rule, EnforcementLevel.MANDATORY) for rule in EVERYWHERE),
        _policy(protected, EnforcementLevel.ADVISORY),
    ]


def _policy(rule: Rule, level: EnforcementLevel) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        resources = [_resource(one) for one in args.resources]
        try:
            lines = rule(resources)
        except UnknownValueError:
            for line in _known_violations(rule, resources):
                report(line, None)
            raise  # the CLI says which value the preview does not know
        for line in lines:
            report(line, None)

    name = rule.__name__.replace("_", "-")
    return StackValidationPolicy(name, (rule.__doc__ or name).strip(), validate, level)


def _known_violations(rule: Rule, resources: Sequence[Resource]) -> list[str]:
    """The violations of each resource by itself, if a preview knows what the rule reads of it."""
    found: list[str] = []
    for one in resources:
        try:
            found += rule([one])
        except UnknownValueError:
            continue
    return found


def _resource(one: PolicyResource) -> Resource:
    metadata = one.props.get("metadata")
    return Resource(
        type=one.resource_type,
        name=one.name,
        inputs=one.props,
        protect=one.opts.protect,
        object_name=metadata.get("name", "") if metadata else "",
    )
