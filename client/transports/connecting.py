"""One transport for one or several endpoints.

The libraries are imported when an endpoint needs them: requests takes 0.2 s, gRPC longer.
"""

from __future__ import annotations

from collections.abc import Sequence

from client.transports.balancing import AsyncLeastLoaded, LeastLoaded
from client.transports.transport import AsyncTransport, Transport
from prediction.endpoints import Protocol, is_grpc
from prediction.errors import InputRefusedError


def connected(endpoints: Sequence[str], model_name: str, protocol: Protocol | None) -> Transport:
    """For threads. protocol: of HTTP endpoints; without one each is asked which it speaks.

    Raises InputRefusedError without an endpoint.
    """
    if not endpoints:
        raise InputRefusedError("no endpoint given: pass at least one")
    transports = [_transport(endpoint, model_name, protocol) for endpoint in endpoints]
    return transports[0] if len(transports) == 1 else LeastLoaded(transports)


def connected_async(
    endpoints: Sequence[str], model_name: str, protocol: Protocol | None
) -> AsyncTransport:
    """As `connected`, for the event loop that runs."""
    transports = [_async_transport(endpoint, model_name, protocol) for endpoint in endpoints]
    return transports[0] if len(transports) == 1 else AsyncLeastLoaded(transports)


def _transport(endpoint: str, model_name: str, protocol: Protocol | None) -> Transport:
    if is_grpc(endpoint):
        from client.transports.rpc import GrpcTransport

        return GrpcTransport(endpoint, model_name)
    if protocol is Protocol.REST:
        from client.transports.rest import RestTransport

        return RestTransport(endpoint, model_name)
    if protocol is Protocol.WEB:
        from client.transports.web import WebTransport

        return WebTransport(endpoint, model_name)
    from client.transports.either import EitherTransport

    return EitherTransport(endpoint, model_name)


def _async_transport(endpoint: str, model_name: str, protocol: Protocol | None) -> AsyncTransport:
    if is_grpc(endpoint):
        from prediction.rpc_async import AsyncGrpcTransport

        return AsyncGrpcTransport(endpoint, model_name)
    if protocol is Protocol.REST:
        from client.transports.rest_async import AsyncRestTransport

        return AsyncRestTransport(endpoint, model_name)
    if protocol is Protocol.WEB:
        from client.transports.web_async import AsyncWebTransport

        return AsyncWebTransport(endpoint, model_name)
    from client.transports.either_async import AsyncEitherTransport

    return AsyncEitherTransport(endpoint, model_name)
