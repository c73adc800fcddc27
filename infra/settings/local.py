"""The settings of the server on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infra.settings.values import SettingsError, integer

KEYS = frozenset({"restPort", "grpcPort"})

_PORTS = range(1024, 65536)


@dataclass(frozen=True)
class LocalSettings:
    """The ports of the server on this machine."""

    rest_port: int
    grpc_port: int


def parse(values: Mapping[str, str]) -> LocalSettings:
    """Settings from configuration values. Raises SettingsError for the first invalid one."""
    rest_port = integer(values, "restPort", _PORTS, "8501")
    grpc_port = integer(values, "grpcPort", _PORTS, "8500")
    if rest_port == grpc_port:
        raise SettingsError("grpcPort", f"must differ from restPort, both are {rest_port}", "8500")
    return LocalSettings(rest_port=rest_port, grpc_port=grpc_port)
