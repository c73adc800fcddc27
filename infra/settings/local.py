"""The settings of the servers on this machine."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from infra.settings.values import SettingsError, integer

_DEFAULTS = {"restPort": 8501, "grpcPort": 8500, "webPort": 8080, "webMetricsPort": 8081}
KEYS = frozenset(_DEFAULTS)

_PORTS = range(1024, 65536)
_STEP = 10


@dataclass(frozen=True)
class LocalSettings:
    """The ports of the model server and of the web service on this machine."""

    rest_port: int
    grpc_port: int
    web_port: int
    web_metrics_port: int

    @property
    def by_key(self) -> dict[str, int]:
        """The ports by the names of their settings, in the order of the fields."""
        ports = (self.rest_port, self.grpc_port, self.web_port, self.web_metrics_port)
        return dict(zip(_DEFAULTS, ports, strict=True))


def parse(values: Mapping[str, str]) -> LocalSettings:
    """Settings from configuration values. Raises SettingsError for the first invalid one."""
    ports = {key: integer(values, key, _PORTS, str(port)) for key, port in _DEFAULTS.items()}
    for (key, port), (later, other) in itertools.combinations(ports.items(), 2):
        if port == other:
            free = itertools.count(_DEFAULTS[later], _STEP)
            example = next(number for number in free if number not in ports.values())
            raise SettingsError(later, f"must differ from {key}, both are {port}", str(example))
    return LocalSettings(*ports.values())
