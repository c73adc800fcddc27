"""The survey: a dry run of the program without any provider call.

It answers each registration with a prediction: the old outputs if the inputs are unchanged, the
inputs otherwise. So unsupported features are refused before any provider is called. Then its
registrations are replayed against a dry-run deployment: if all predictions hold, that is the
preview, and the program need not run again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.deployment.goal import Goal
from engine.deployment.registry import RegistrationError, Registry
from engine.deployment.steps import StepFailedError
from engine.display.lines import Display
from engine.processes.monitor import Answer, Registrar
from engine.state.snapshot import Resource
from engine.values import PropertyMap, equal, revealed


@dataclass(frozen=True)
class _Registered:
    goal: Goal
    answer: Answer


@dataclass(frozen=True)
class _Outputs:
    urn: str
    outputs: PropertyMap


@dataclass(frozen=True)
class Message:
    """A line that the program printed (no severity) or a message it logged."""

    severity: str
    text: str
    urn: str


@dataclass
class Messages:
    """Records the program's output, to show it later."""

    entries: list[Message] = field(default_factory=list[Message])

    def output(self, text: str) -> None:
        self.entries.append(Message("", text, ""))

    def log(self, severity: str, text: str, urn: str = "") -> None:
        self.entries.append(Message(severity, text, urn))

    def show(self, display: Display) -> None:
        """Show everything recorded."""
        for message in self.entries:
            if message.severity:
                display.log(message.severity, message.text, message.urn)
            else:
                display.output(message.text)


class Survey(Registrar):
    """Records what the program registers."""

    def __init__(self, stack: str, project: str, olds: Iterable[Resource]) -> None:
        self.messages = Messages()
        self.is_conclusive = True
        self.succeeded = False
        self.has_dynamic_resources = False
        self._registry = Registry(stack, project, olds)
        self._events: list[_Registered | _Outputs] = []
        self._states: dict[str, Answer] = {}

    def register(self, goal: Goal) -> Answer:
        try:
            registration = self._registry.register(goal)
        except RegistrationError as error:
            self.is_conclusive = False  # a full dry run will report it
            raise StepFailedError(str(error)) from None
        old = registration.old
        answer = Answer(registration.urn, "", {})
        if goal.custom:
            self.has_dynamic_resources = True
            answer = _expected_answer(registration.urn, goal.inputs, old)
        elif old is not None:
            self._states[registration.urn] = Answer(registration.urn, "", old.outputs)
        self._states.setdefault(registration.urn, answer)
        self._events.append(_Registered(goal, answer))
        return answer

    def register_outputs(self, urn: str, outputs: PropertyMap) -> None:
        self._states[urn] = Answer(urn, "", outputs)
        self._events.append(_Outputs(urn, outputs))

    def state(self, urn: str) -> Answer | None:
        return self._states.get(urn)

    def replay(self, registrar: Registrar) -> bool:
        """Register everything again; whether all answers match those the program got."""
        for event in self._events:
            if isinstance(event, _Outputs):
                registrar.register_outputs(event.urn, event.outputs)
            elif not _are_same(registrar.register(event.goal), event.answer):
                return False
        return True


def _expected_answer(urn: str, inputs: PropertyMap, old: Resource | None) -> Answer:
    if old is None:
        return Answer(urn, "", inputs)
    unchanged = all(
        key in old.inputs and equal(revealed(old.inputs[key]), revealed(value))
        for key, value in inputs.items()
    )
    return Answer(urn, old.id, old.outputs if unchanged else inputs)


def _are_same(one: Answer, other: Answer) -> bool:
    return (one.urn, one.id) == (other.urn, other.id) and equal(one.outputs, other.outputs)
