"""Proxies in the environment, which must not come between this machine's own processes."""

from __future__ import annotations

from collections.abc import Mapping

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_EVERYTHING = "*"  # only as the whole value, and not for gRPC


def with_direct_loopback(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, in which loopback addresses are also reached without a proxy.

    Programs prefer either spelling of `no_proxy`; gRPC prefers `no_grpc_proxy`.
    """
    lower = environment.get("no_proxy", environment.get("NO_PROXY", ""))
    upper = environment.get("NO_PROXY", lower)
    for_grpc = environment.get("no_grpc_proxy", lower)
    return {
        **environment,
        "no_proxy": lower if lower.strip() == _EVERYTHING else _with_loopback(lower),
        "NO_PROXY": upper if upper.strip() == _EVERYTHING else _with_loopback(upper),
        "no_grpc_proxy": _with_loopback(for_grpc),
    }


def _with_loopback(exceptions: str) -> str:
    own = [entry.strip() for entry in exceptions.split(",") if entry.strip()]
    return ",".join([*own, *(address for address in _LOOPBACK if address not in own)])
