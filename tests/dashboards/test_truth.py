"""Each question of the dashboards and alerts, asked of a real Prometheus about known services."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from dashboards import cloud_monitoring
from dashboards.alerts import ALERTS, Alert, alerts
from dashboards.metrics import MODES, Mode, Scope, Source
from dashboards.panels import SECTIONS, sections
from dashboards.prometheus_rules import expression
from tests.dashboards import worlds
from tests.dashboards.prometheus import Prometheus, needs_prometheus, prometheus_over
from tests.dashboards.worlds import CLUSTER, NOW, SERVICE
from web.figures import percentiles
from web.metrics import BUCKETS

pytestmark = needs_prometheus

PRICE = 0.2
APIS = ("a1111", "native", "openai")
NO_DATA: dict[str, float] = {}
NAMESPACES = ("busy", "slow", "idle", "woken", "zero", "loading", "failing", "unserved", "unknown")


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with prometheus_over(worlds.everything(), tmp_path_factory.mktemp("prometheus")) as running:
        yield running


def scope(mode: Mode, namespace: str) -> Scope:
    found = cloud_monitoring.scope(mode, cluster=CLUSTER, namespace=namespace, service=SERVICE)
    return {
        **found,
        # Most of the services here are one process, a front and a worker at once.
        Source.MODEL: found[Source.WEB],
        Source.NODES: f'monitored_resource="k8s_node", cluster_name="{namespace}-{mode}"',
    }


def shown(
    prometheus: Prometheus, mode: Mode, namespace: str
) -> dict[tuple[str, str], dict[str, float]]:
    """Every series of every panel, by the panel's title and the series' name."""
    return {
        (panel.title, series.name): prometheus.ask(
            cloud_monitoring.query(series.expression, scope(mode, namespace), PRICE), NOW
        )
        for section in sections(mode, has_price=True)
        for panel in section.panels
        for series in panel.series
    }


def only(value: float) -> dict[str, float]:
    return {"": value}


REQUESTS = {
    ("Requests for pictures", "answered (2xx)"): only(10 / 5),
    ("Requests for pictures", "refused (4xx)"): only(2 / 5),
    ("Requests for pictures", "failed (5xx)"): only(4 / 5),
    ("Requests per minute, by API", ""): {"a1111": 8 / 5, "native": 6 / 5, "openai": 2 / 5},
    ("Requests answered, by API", ""): {"a1111": 75, "native": 400 / 6, "openai": 0},
    ("Requests refused (4xx) per minute, by API", ""): {"a1111": 0, "native": 0, "openai": 2 / 5},
    ("Requests failed (5xx) per minute, by API", ""): {
        "a1111": 2 / 5,
        "native": 2 / 5,
        "openai": 0,
    },
    ("Jobs done, stopped ones aside", "done"): only(600 / 7),
}
LOAD = {
    ("Jobs waiting and being drawn", "waiting"): only(2),
    ("Jobs waiting and being drawn", "drawing"): only(1),
    ("Pods", "wanted"): only(3),
    ("Pods", "ready"): only(2),
    ("Pods", "pending"): only(1),
    ("Cold starts in the last hour", "cold starts"): only(0),
    ("Longest cold start in the last hour", "longest"): NO_DATA,
    ("Pictures in the last hour", "pictures"): only(7),
}
COST = {
    ("Cost of an hour", "nodes"): only(PRICE * 1.5),
    ("Cost of a picture", "a picture of the last hour"): only(PRICE * 1.5 / 7),
}
OF_KNATIVE = {
    ("Requests to the pods per minute, with their wait for one", ""): {"2xx": 2, "5xx": 1},
    ("Requests in the pods, as the autoscaler sees them", "in the last minute"): only(1.5),
}
OF_A_FRONT = "Seconds until a worker began"
DURATIONS = {
    ("Seconds in the queue", tuple(worlds.WAITING)),
    ("Seconds being drawn", tuple(worlds.DRAWING)),
    (OF_A_FRONT, tuple(worlds.DRAWING)),
    (
        "Seconds from request to picture",
        tuple(a + b for a, b in zip(worlds.WAITING, worlds.DRAWING, strict=True)),
    ),
}
RANKS = ("p50", "p90", "p95", "p99")


@pytest.mark.parametrize("mode", MODES)
def test_a_known_load_gives_the_number_expected_in_every_panel(
    prometheus: Prometheus, mode: Mode
) -> None:
    found = shown(prometheus, mode, "busy")
    expected = REQUESTS | LOAD | COST | (OF_KNATIVE if mode == "knative" else {})
    of_durations = {
        (title, rank)
        for title, _ in DURATIONS
        for rank in RANKS
        if mode == "knative" or title != OF_A_FRONT
    }
    assert set(found) == set(expected) | of_durations
    for key, value in expected.items():
        # A node is counted at both ends of the hour: 61 minutes.
        tolerance = 0.03 if key in COST else 1e-6
        assert found[key] == pytest.approx(value, rel=tolerance), key


@pytest.mark.parametrize(("title", "seconds"), sorted(DURATIONS))
def test_percentiles_are_within_a_buckets_width_of_the_exact_ones(
    prometheus: Prometheus, title: str, seconds: tuple[float, ...]
) -> None:
    exact = percentiles(seconds)
    found = shown(prometheus, "knative", "slow")
    for rank in RANKS:
        real = getattr(exact, rank)
        (width,) = (high - low for low, high in pairwise((0, *BUCKETS)) if low < real <= high)
        assert abs(found[title, rank][""] - real) <= width, rank


@pytest.mark.parametrize("mode", MODES)
def test_a_service_that_nobody_asks_shows_zeros_and_no_percentages(
    prometheus: Prometheus, mode: Mode
) -> None:
    found = shown(prometheus, mode, "idle")
    zeros = dict.fromkeys(APIS, 0.0)
    for title, name in found:
        values = found[title, name]
        if title.startswith("Seconds ") or "answered" in title or "done" in title:
            assert values == NO_DATA, title
        elif title.startswith("Requests") and title.endswith("by API"):
            assert values == zeros, title
        elif title in ("Requests for pictures", "Pictures in the last hour"):
            assert values == only(0), title
    assert found["Pods", "ready"] == only(1)
    assert found["Cost of a picture", "a picture of the last hour"] == NO_DATA


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("namespace", ["zero", "unknown"])
def test_a_service_without_pods_shows_no_data_and_never_a_percentage(
    prometheus: Prometheus, mode: Mode, namespace: str
) -> None:
    found = shown(prometheus, mode, namespace)
    starts = ("Cold starts in the last hour", "cold starts")
    assert found.pop(starts) == only(0)
    in_the_last_hour = ("Pictures in the last hour", "pictures")
    assert found.pop(in_the_last_hour) == (only(0) if namespace == "zero" else NO_DATA)
    assert {key: value for key, value in found.items() if value} == {}


def test_the_system_pools_node_costs_nothing_while_knative_has_no_worker(
    prometheus: Prometheus,
) -> None:
    found = shown(prometheus, "knative", "asleep")
    assert found["Cost of an hour", "nodes"] == only(0)
    assert found["Cost of a picture", "a picture of the last hour"] == NO_DATA


def test_what_a_worker_draws_for_the_front_is_counted_once(prometheus: Prometheus) -> None:
    found = shown(prometheus, "knative", "pair")
    assert found["Requests per minute, by API", ""]["a1111"] == pytest.approx(3 / 5)
    assert found["Pictures in the last hour", "pictures"] == only(pytest.approx(3))


def test_where_everything_fails_nothing_is_said_to_succeed(prometheus: Prometheus) -> None:
    found = shown(prometheus, "deployment", "failing")
    assert found["Requests answered, by API", ""] == {"native": 0}
    assert found["Requests for pictures", "failed (5xx)"] == only(pytest.approx(4 / 5))
    assert found["Jobs done, stopped ones aside", "done"] == NO_DATA


def test_a_pod_that_was_not_there_an_hour_ago_is_a_cold_start(prometheus: Prometheus) -> None:
    found = shown(prometheus, "knative", "woken")
    assert found["Cold starts in the last hour", "cold starts"] == only(1)
    assert found["Longest cold start in the last hour", "longest"] == only(42)


FIRING: dict[tuple[Mode, str], set[str]] = {
    ("deployment", "JobsFail"): {"busy"},
    ("deployment", "RequestsFail"): {"failing"},
    ("deployment", "SlowPictures"): {"slow"},
    ("deployment", "QueueFull"): {"busy"},
    ("deployment", "ModelNotLoaded"): {"loading", "zero", "unknown", "slow", "failing"},
    ("deployment", "NoPodForAJob"): {"busy"},
    ("deployment", "SpotPreemptions"): {"busy"},
    ("knative", "JobsFail"): {"busy"},
    ("knative", "RequestsFail"): {"failing"},
    ("knative", "SlowPictures"): {"slow"},
    ("knative", "QueueFull"): {"busy"},
    ("knative", "ModelNotLoaded"): {"loading"},
    ("knative", "NoPodForAJob"): {"unserved"},
    ("knative", "SpotPreemptions"): {"busy"},
}
"""In which of the services each alert holds. Those of the deployment without a model server's
series have none: it always has pods."""


@pytest.mark.parametrize(
    ("mode", "alert"),
    [(mode, alert) for mode in MODES for alert in alerts(mode, spot=True)],
    ids=lambda value: value.name if isinstance(value, Alert) else value,
)
def test_an_alert_holds_where_it_should_and_nowhere_else(
    prometheus: Prometheus, mode: Mode, alert: Alert
) -> None:
    holds = {
        namespace
        for namespace in NAMESPACES
        if prometheus.ask(expression(alert, scope(mode, namespace), 60), NOW)
    }
    assert holds == FIRING[mode, alert.name]


def test_the_budget_decides_whether_pictures_are_too_slow(prometheus: Prometheus) -> None:
    (alert,) = (each for each in ALERTS if each.name == "SlowPictures")
    for budget, is_too_slow in ((60, True), (200, False)):
        found = prometheus.ask(expression(alert, scope("deployment", "slow"), budget), NOW)
        assert bool(found) is is_too_slow


def test_every_alert_and_panel_is_asked_here() -> None:
    assert set(FIRING) == {(mode, each.name) for each in ALERTS for mode in each.modes}
    titles = {title for title, _ in (*REQUESTS, *LOAD, *COST, *OF_KNATIVE, *DURATIONS)}
    assert titles == {panel.title for section in SECTIONS for panel in section.panels}
