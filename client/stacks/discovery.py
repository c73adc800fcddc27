"""Finding the service through the outputs of a Pulumi stack of this project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from client.errors import NotExposedError, StackOutputError
from client.stacks.engine import LOCAL_STACK, ask_engine
from model_export.spec import MODEL_NAME
from prediction.endpoints import WEB_EXAMPLE, Protocol, normalize_endpoint
from prediction.errors import one_line
from prediction.limits import Limits

PROJECT_ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "diffusion-serving"
_MAKE_COMMAND = re.compile(r"`make (\w+)(?: STACK=…)?((?: (?!STACK=)[A-Z]+=[^` ]+)*)`")


@dataclass(frozen=True)
class StackOutputs:
    """The outputs of a deployed stack.

    endpoint: of the web service, if the stack has one, else of the model server; it and
    grpc_endpoint are empty if the stack exposes no server. bucket and kubeconfig_command are empty
    for the stack `local`; page and model_endpoint for a stack without a web service. address: what
    the page's domain should lead to in DNS, if it has one. stack: its name.
    """

    endpoint: str
    grpc_endpoint: str
    model_name: str
    fingerprint: str
    model_uri: str
    limits: Limits
    bucket: str
    kubeconfig_command: str
    page: str = ""
    model_endpoint: str = ""
    address: str = ""
    stack: str = ""

    @property
    def protocol(self) -> Protocol:
        """What to speak with the service."""
        return Protocol.WEB if self.page else Protocol.REST

    @property
    def asks_for_keys(self) -> bool:
        """Whether its web service does: every one on a cluster."""
        return bool(self.page and self.kubeconfig_command)

    def endpoint_for(self, protocol: Protocol) -> str:
        """The service's endpoint for `protocol`."""
        if not (self.endpoint or self.model_endpoint or self.grpc_endpoint):
            way = for_stack("`make page STACK=…`", self.stack)
            raise NotExposedError(
                f"the stack's web service is private: type {way}, and in another terminal give "
                f"--endpoint {WEB_EXAMPLE}"
            )
        if protocol is Protocol.WEB and not self.page:
            raise StackOutputError("the stack has no web service: leave out --transport")
        if protocol is Protocol.WEB:
            return self.endpoint
        if protocol is Protocol.REST and self.page and not self.model_endpoint:
            raise StackOutputError(
                "the stack exposes no model server (exposeModelServer): leave out --transport"
            )
        if protocol is Protocol.REST:
            return self.model_endpoint or self.endpoint
        if not self.grpc_endpoint:
            raise StackOutputError("the stack has no output `grpcEndpoint`: leave out --transport")
        return normalize_endpoint(self.grpc_endpoint, protocol)


def read_stack(stack: str = LOCAL_STACK, root: Path = PROJECT_ROOT) -> StackOutputs:
    """The outputs of `stack`. Raises StackOutputError, whose message says what to do."""
    question = ("output", "--json")
    document = ask_engine(stack, root, *question, what="outputs", remedy=_remedy(stack))
    if not isinstance(document, dict):
        raise StackOutputError(f"the outputs of stack {stack} are not a JSON object")
    values = cast("dict[str, object]", document)

    def text(key: str, default: str = "") -> str:
        value = values.get(key, default)
        return value if isinstance(value, str) else default

    # A cluster's server need not be exposed; of a first `up` that failed there are no outputs.
    if not text("endpoint") and not (text("kubeconfigCommand") and text("modelUri")):
        raise StackOutputError(f"stack {stack} has no output `endpoint`: {_remedy(stack)}")
    limits = values.get("limits", {})
    if not isinstance(limits, dict):
        raise StackOutputError(f"the output `limits` of stack {stack} is not an object")
    return StackOutputs(
        endpoint=text("endpoint"),
        grpc_endpoint=text("grpcEndpoint"),
        model_name=text("modelName", MODEL_NAME),
        fingerprint=one_line(text("fingerprint")),
        model_uri=one_line(text("modelUri")),
        limits=limits_of(cast("dict[str, object]", limits)),
        bucket=one_line(text("bucket")),
        kubeconfig_command=one_line(text("kubeconfigCommand")),
        page=one_line(text("page")),
        model_endpoint=text("modelEndpoint"),
        address=one_line(text("address")),
        stack=stack,
    )


def limits_of(output: Mapping[str, object]) -> Limits:
    """The stack's output `limits`. Raises StackOutputError."""
    try:
        return Limits().updated(output)
    except ValueError as error:
        raise StackOutputError(f"the stack's output limits.{error}") from None


def make_command(goal: str, stack: str) -> str:
    """make's command for `stack`, such as `make up STACK=dev`."""
    return f"make {goal}" if stack == LOCAL_STACK else f"make {goal} STACK={stack}"


def for_stack(message: str, stack: str) -> str:
    """`message` with make's commands for `stack`, which a transport does not know; as it is if
    that is empty.
    """
    if not stack:
        return message
    return _MAKE_COMMAND.sub(lambda found: f"`{make_command(found[1], stack)}{found[2]}`", message)


def _remedy(stack: str) -> str:
    remedy = f"deploy it with `{make_command('up', stack)}`, or give --endpoint"
    if stack == LOCAL_STACK:
        return remedy
    return f"{remedy}; if that failed, `{make_command('doctor', stack)}` says why"
