"""One transport for one or several endpoints.

The libraries are imported when an endpoint needs them: requests takes 0.2 s, gRPC longer.
"""

from __future__ import annotations

from collections.abc import Sequence

from client.transports.balancing import AsyncLeastLoaded, LeastLoaded
from client.transports.transport import AsyncTransport, Transport
from prediction.endpoints import is_grpc
from prediction.errors import InputRefusedError


def connected(endpoints: Sequence[str], model_name: str) -> Transport:
    """For threads. Raises InputRefusedError without an endpoint."""
    if not endpoints:
        raise InputRefusedError("no endpoint given: pass at least one")
    transports = [_transport(endpoint, model_name) for endpoint in endpoints]
    return transports[0] if len(transports) == 1 else LeastLoaded(transports)


def connected_async(endpoints: Sequence[str], model_name: str) -> AsyncTransport:
    """For the event loop that runs."""
    transports = [_async_transport(endpoint, model_name) for endpoint in endpoints]
    return transports[0] if len(transports) == 1 else AsyncLeastLoaded(transports)


def _transport(endpoint: str, model_name: str) -> Transport:
    if is_grpc(endpoint):
        from client.transports.rpc import GrpcTransport

        return GrpcTransport(endpoint, model_name)
    from client.transports.rest import RestTransport

    return RestTransport(endpoint, model_name)


def _async_transport(endpoint: str, model_name: str) -> AsyncTransport:
    if is_grpc(endpoint):
        from prediction.rpc_async import AsyncGrpcTransport

        return AsyncGrpcTransport(endpoint, model_name)
    from client.transports.rest_async import AsyncRestTransport

    return AsyncRestTransport(endpoint, model_name)
