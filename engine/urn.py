"""URNs, urn:pulumi:STACK::PROJECT::[PARENT_TYPE$]TYPE::NAME, and Pulumi's own types."""

from __future__ import annotations

ROOT_STACK_TYPE = "pulumi:pulumi:Stack"
PROVIDER_TYPE_PREFIX = "pulumi:providers:"
DYNAMIC_PACKAGE = "pulumi-python"
DYNAMIC_PROVIDER_TYPE = PROVIDER_TYPE_PREFIX + DYNAMIC_PACKAGE


def qualified_type(urn: str) -> str:
    """The type, prefixed with the types of its parents, as in the URN."""
    return urn.split("::", 3)[2]


def type_of(urn: str) -> str:
    """The resource's own type token."""
    return qualified_type(urn).rsplit("$", 1)[-1]


def name_of(urn: str) -> str:
    """The logical name: everything after the type; it may contain `::`."""
    return urn.split("::", 3)[3]


def make(stack: str, project: str, parent: str, resource_type: str, name: str) -> str:
    """The URN of a resource; without a parent, or below the stack, the type has no prefix."""
    parent_type = qualified_type(parent) if parent else ""
    prefix = f"{parent_type}$" if parent_type not in ("", ROOT_STACK_TYPE) else ""
    return f"urn:pulumi:{stack}::{project}::{prefix}{resource_type}::{name}"


def root_stack(stack: str, project: str) -> str:
    """The URN of the stack resource itself."""
    return make(stack, project, "", ROOT_STACK_TYPE, f"{project}-{stack}")


def default_provider(stack: str, project: str) -> str:
    """The URN of the default provider of all dynamic resources."""
    return make(stack, project, "", DYNAMIC_PROVIDER_TYPE, "default")


def with_parent(urn: str, parent: str) -> str:
    """The URN of the same resource under another parent."""
    stack, project = urn.removeprefix("urn:pulumi:").split("::")[:2]
    return make(stack, project, parent, type_of(urn), name_of(urn))


def of_provider_reference(reference: str) -> str:
    """The URN in a provider reference `URN::ID`."""
    return reference.rpartition("::")[0]


def package_of(resource_type: str) -> str:
    """The package a type token belongs to (`gcp` of `gcp:storage/bucket:Bucket`)."""
    return resource_type.partition(":")[0]
