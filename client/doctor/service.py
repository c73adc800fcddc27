"""The check of the served model: whether it answers from here, and whether it is the stack's."""

from __future__ import annotations

from client.api import Client
from client.doctor.deployed import Deployed
from client.doctor.finding import Finding, State
from client.transports.web_key import VARIABLE, api_key
from prediction.endpoints import Protocol
from prediction.errors import ClientError, ModelLoadingError, one_line
from prediction.model_status import STATUS_TIMEOUT_SECONDS, not_ready


def cluster_service(deployed: Deployed) -> Finding:
    """The service of a stack on GKE, which need not be exposed."""
    if deployed.endpoint:
        if deployed.protocol is Protocol.WEB and not api_key():
            message = f"{deployed.endpoint} asks for a key: set {VARIABLE} to one, and ask again"
            return Finding("service", State.UNKNOWN, message)
        finding = service_finding(
            deployed.endpoint, deployed.model_name, deployed.fingerprint, deployed.protocol
        )
        if finding.state is not State.WRONG or deployed.certificate:
            return finding
        hint = "; if every other check is ok, allowedSourceRanges may not include your address"
        return Finding(finding.check, finding.state, f"{finding.message}{hint}")
    if not deployed.has_service:
        message = "there is no Service: `make up` makes it once the pods serve"
        return Finding("service", State.WRONG, message)
    if deployed.is_exposed:
        return Finding("service", State.WAIT, "the load balancer has no address yet")
    message = "it is private: `make page` brings it to this machine"
    return Finding("service", State.OK, message)


def service_finding(
    endpoint: str, model_name: str, fingerprint: str, protocol: Protocol = Protocol.REST
) -> Finding:
    """fingerprint: of the model that the stack recorded; empty if it is unknown."""
    try:
        with Client(
            endpoint, protocol=protocol, model_name=model_name, warn=lambda _line: None
        ) as client:
            problem = not_ready(client.endpoint, client.model_name, client.status())
            if problem is not None:
                raise problem
            served = client.describe(STATUS_TIMEOUT_SECONDS)
    except ModelLoadingError as error:
        return Finding("service", State.WAIT, one_line(str(error)))
    except ClientError as error:
        return Finding("service", State.WRONG, one_line(str(error)))
    if served is not None and fingerprint and not served.fingerprint.startswith(fingerprint):
        return Finding(
            "service",
            State.WRONG,
            f"{endpoint} serves model {served.fingerprint}, but the stack's is {fingerprint}: "
            "`make up` rolls it out",
        )
    return Finding("service", State.OK, f"{endpoint} serves {model_name}")
