"""Every rule as a stack policy, for `pulumi preview --policy-pack`.

Importing it starts no server. It needs the package pulumi-policy, which the program does not.
"""

from __future__ import annotations

from pulumi_policy import (
    EnforcementLevel,
    PolicyResource,
    ReportViolation,
    StackValidationArgs,
    StackValidationPolicy,
)

from policy.rules import EVERYWHERE, Resource, Rule, protected


def policies() -> list[StackValidationPolicy]:
    """All rules are mandatory except `protected`, which is advisory: a trial stack may be not."""
    return [
        *(_policy(rule, EnforcementLevel.MANDATORY) for rule in EVERYWHERE),
        _policy(protected, EnforcementLevel.ADVISORY),
    ]


def _policy(rule: Rule, level: EnforcementLevel) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        for line in rule([_resource(one) for one in args.resources]):
            report(line, None)

    name = rule.__name__.replace("_", "-")
    return StackValidationPolicy(name, (rule.__doc__ or name).strip(), validate, level)


def _resource(one: PolicyResource) -> Resource:
    metadata = one.props.get("metadata")
    return Resource(
        type=one.resource_type,
        name=one.name,
        inputs=one.props,
        protect=one.opts.protect,
        object_name=metadata.get("name", "") if metadata else "",
    )
