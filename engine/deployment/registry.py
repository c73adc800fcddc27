"""Registrations of one run: their URNs, old states (by URN or alias) and inherited options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine import urn as urns
from engine.deployment.goal import Alias, Goal
from engine.state.snapshot import Resource


class RegistrationError(Exception):
    """The registration conflicts with another one; the message says how."""


@dataclass(frozen=True)
class Registration:
    """A goal with its URN, old state and inherited options."""

    goal: Goal
    urn: str
    old: Resource | None
    alias: str  # the old state's URN, if it differs
    protect: bool
    retain_on_delete: bool
    deleted_with: str


class Registry:
    """The registrations of one run of the program, matched with the old states."""

    def __init__(self, stack: str, project: str, olds: Iterable[Resource]) -> None:
        self._stack = stack
        self._project = project
        self._olds = {old.urn: old for old in olds if not old.delete}
        self._registrations: dict[str, Registration] = {}
        self._urn_of_alias: dict[str, str] = {}

    def __contains__(self, urn: str) -> bool:
        return urn in self._registrations

    def old(self, urn: str) -> Resource | None:
        return self._olds.get(urn)

    def register(self, goal: Goal) -> Registration:
        """Add a registration; unset options are inherited from the parent."""
        urn = urns.make(self._stack, self._project, goal.parent, goal.type, goal.name)
        if urn in self._registrations:
            raise RegistrationError(f"Duplicate resource URN '{urn}'; try giving it a unique name")
        if urn in self._urn_of_alias:
            raise RegistrationError(
                f"Duplicate resource URN '{urn}' conflicting with alias on resource with URN "
                f"'{self._urn_of_alias[urn]}'"
            )
        old, alias = self._find_old(urn, goal)
        parent = self._registrations.get(goal.parent)
        registration = Registration(
            goal=goal,
            urn=urn,
            old=old,
            alias=alias,
            protect=_first(goal.protect, parent.protect if parent else None),
            retain_on_delete=_first(
                goal.retain_on_delete, parent.retain_on_delete if parent else None
            ),
            deleted_with=goal.deleted_with or (parent.deleted_with if parent else ""),
        )
        self._registrations[urn] = registration
        return registration

    def _find_old(self, urn: str, goal: Goal) -> tuple[Resource | None, str]:
        if urn in self._olds:
            return self._olds[urn], ""
        for alias in self._alias_urns(goal):
            if alias in self._olds and alias != urn:
                if alias in self._registrations or alias in self._urn_of_alias:
                    other = self._urn_of_alias.get(alias, alias)
                    raise RegistrationError(
                        f"Duplicate resource alias '{alias}' applied to resource with URN '{urn}' "
                        f"conflicting with resource with URN '{other}'"
                    )
                self._urn_of_alias[alias] = urn
                return self._olds[alias], alias
        return None, ""

    def _alias_urns(self, goal: Goal) -> Iterator[str]:
        for alias in goal.aliases:
            yield self._alias_urn(goal, alias)
        parent = self._registrations.get(goal.parent)
        if parent is None or not parent.alias:
            return
        yield self._inherited_alias(goal.type, goal.name, parent)
        for alias in goal.aliases:
            urn = self._alias_urn(goal, alias)
            yield self._inherited_alias(urns.type_of(urn), urns.name_of(urn), parent)

    def _alias_urn(self, goal: Goal, alias: Alias) -> str:
        if alias.urn:
            return alias.urn
        parent = "" if alias.no_parent else alias.parent or goal.parent
        if alias.parent and alias.parent in self._registrations:
            parent = self._registrations[alias.parent].alias or alias.parent
        return urns.make(
            alias.stack or self._stack,
            alias.project or self._project,
            parent,
            alias.type or goal.type,
            alias.name or goal.name,
        )

    def _inherited_alias(self, child_type: str, child_name: str, parent: Registration) -> str:
        """The child's URN below the parent's alias.

        A child's name that starts with the parent's follows the parent's old name.
        """
        parent_name = urns.name_of(parent.urn)
        if child_name.startswith(parent_name):
            child_name = urns.name_of(parent.alias) + child_name[len(parent_name) :]
        return urns.make(self._stack, self._project, parent.alias, child_type, child_name)


def _first(own: bool | None, inherited: bool | None) -> bool:
    return bool(own if own is not None else inherited)
