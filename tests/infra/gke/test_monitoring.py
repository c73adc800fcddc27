"""The dashboard and the alerts of the GKE stacks as resources of Google Cloud."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from dashboards.alerts import ALERTS
from dashboards.metrics import FRONT, WORKER, names_in
from infra.settings.gke import NAMESPACE
from infra.settings.machines import KNATIVE_SYSTEM_MACHINE, MACHINE_TYPES, SYSTEM_MACHINE
from render.recorder import PROJECT, Registered, Run, stack_config
from tests.dashboards.google import assert_google_takes, returned
from tests.stacks import GKE_STACKS, goes_before, run_of

EMAIL = "ops@example.com"
PRODS_TIMEOUT = int(stack_config("prod")[f"{PROJECT}:requestTimeoutSeconds"])
KINDS = ("Dashboard", "NotificationChannel", "AlertPolicy")


def told() -> Run:
    """Of a stack with all the settings."""
    return run_of("dev", alertEmail=EMAIL, nodePricePerHour="0.1943", latencyBudgetSeconds="90")


def told_of_prod() -> Run:
    """With the address alone."""
    return run_of("prod", alertEmail=EMAIL)


def told_of_knative() -> Run:
    return run_of("knative", alertEmail=EMAIL)


def condition(policy: Registered) -> dict[str, Any]:
    (only,) = policy.inputs["conditions"]
    return only["conditionPrometheusQueryLanguage"]


@pytest.mark.parametrize("stack", GKE_STACKS)
def test_every_stack_has_a_dashboard_that_google_takes(stack: str) -> None:
    dashboard = json.loads(run_of(stack).one("Dashboard").inputs["dashboardJson"])
    assert_google_takes(dashboard)
    assert dashboard["displayName"] == f"diffusion-serving {stack}"


@pytest.mark.parametrize("stack", GKE_STACKS)
def test_a_second_up_finds_the_dashboard_that_google_gives_back_unchanged(stack: str) -> None:
    dashboard = json.loads(run_of(stack).one("Dashboard").inputs["dashboardJson"])
    assert returned(dashboard) == dashboard


def test_its_queries_are_about_this_cluster_and_namespace_alone() -> None:
    text = run_of("dev").one("Dashboard").inputs["dashboardJson"]
    queries = [
        data_set["timeSeriesQuery"]["prometheusQuery"]
        for tile in json.loads(text)["mosaicLayout"]["tiles"]
        if "xyChart" in tile["widget"]
        for data_set in tile["widget"]["xyChart"]["dataSets"]
    ]
    assert queries
    for query in queries:
        found = query.count(f'cluster="diffusion-0000000", namespace="{NAMESPACE}"')
        found += query.count('cluster_name="diffusion-0000000"')
        assert found == query.count("{") - query.count("${") >= len(names_in(query)) > 0, query


def test_on_knative_jobs_are_the_fronts_models_the_workers_and_pods_knatives() -> None:
    run = run_of("knative")
    text = run.one("Dashboard").inputs["dashboardJson"].replace('\\"', '"')
    ours = f'cluster="diffusion-0000000", namespace="{NAMESPACE}"'
    assert f'web_queued_jobs{{{ours}, job="{FRONT}"}}' in text
    assert f'web_model_start_seconds{{{ours}, job="{WORKER}"}}' in text
    services = [each for each in run.of("Service") if "serving.knative.dev" in each.type]
    (name,) = {each.inputs["metadata"]["name"] for each in services}
    knative = f'k8s_namespace_name="{NAMESPACE}", kn_service_name="{name}"'
    assert f'namespace="knative-serving", {knative}}}' in text
    monitored = {
        each.inputs["metadata"]["name"]: each.inputs["metadata"]["namespace"]
        for each in run.of("PodMonitoring")
    }
    assert monitored == {FRONT: NAMESPACE, WORKER: NAMESPACE, "knative": "knative-serving"}


def test_knative_is_read_as_long_as_it_is_there() -> None:
    run = run_of("knative")
    (own,) = (r for r in run.of("PodMonitoring") if r.inputs["metadata"]["name"] == "knative")
    assert goes_before(run, own, "KnativeServing")
    selector = own.inputs["spec"]["selector"]["matchExpressions"]
    assert selector == [{"key": "app", "operator": "In", "values": ["activator", "autoscaler"]}]


def test_costs_are_shown_at_the_price_that_was_set_and_only_then() -> None:
    assert "Cost of a picture" not in run_of("dev").one("Dashboard").inputs["dashboardJson"]
    priced = told().one("Dashboard").inputs["dashboardJson"]
    assert "Cost of a picture" in priced
    assert "0.1943 * sum_over_time" in priced and "$price" not in priced


@pytest.mark.parametrize("stack", GKE_STACKS)
def test_nobody_is_told_unless_an_address_is_set(stack: str) -> None:
    run = run_of(stack)
    assert run.of("AlertPolicy") == run.of("NotificationChannel") == []


def test_every_alert_goes_to_the_address_and_says_what_to_do() -> None:
    run = told()
    channel = run.one("NotificationChannel")
    assert channel.inputs["type"] == "email"
    assert channel.inputs["labels"] == {"email_address": EMAIL}
    policies = run.of("AlertPolicy")
    assert {condition(each)["alertRule"] for each in policies} == {each.name for each in ALERTS}
    runbooks = {each.name: each.runbook for each in ALERTS}
    for each in policies:
        assert each.inputs["notificationChannels"] == [channel.outputs["name"]]
        assert each.inputs["documentation"]["content"] == runbooks[condition(each)["alertRule"]]
        assert condition(each)["disableMetricValidation"] is True


def test_an_alert_has_no_zero_that_google_would_leave_out() -> None:
    policies = told().of("AlertPolicy")
    assert policies
    for each in policies:
        assert returned(each.inputs) == each.inputs, each.name
        assert condition(each).get("duration") != "0s"


@pytest.mark.parametrize(
    ("run", "seconds"),
    [(told, 90), (told_of_prod, PRODS_TIMEOUT // 2), (told_of_knative, 257 + 300 // 2)],
)
def test_pictures_are_too_slow_beyond_the_budget(run: Callable[[], Run], seconds: int) -> None:
    (slow,) = (each for each in run().of("AlertPolicy") if each.name.endswith("SlowPictures"))
    assert condition(slow)["query"].endswith(f"> {seconds}")


def test_a_single_job_that_finds_no_pod_is_told_of_and_a_cold_start_is_not() -> None:
    run = told_of_knative()
    (alert,) = (each for each in run.of("AlertPolicy") if each.name.endswith("NoPodForAJob"))
    seconds = int(condition(alert)["duration"].removesuffix("s"))
    assert 257 < seconds < run.outputs["limits"]["requestTimeoutSeconds"]


def test_what_tells_nodes_with_model_servers_from_the_system_pool_is_true() -> None:
    """The costs count nodes with more than two CPUs, and with Knative leave out one of them."""
    assert SYSTEM_MACHINE.vcpus <= 2 < KNATIVE_SYSTEM_MACHINE.vcpus
    assert all(machine.vcpus > 2 for machine in MACHINE_TYPES.values())
    (pool,) = (
        each
        for each in run_of("knative").of("NodePool")
        if each.inputs["nodeConfig"]["machineType"] == KNATIVE_SYSTEM_MACHINE.name
    )
    assert pool.inputs["autoscaling"]["totalMinNodeCount"] == 1
    assert len(pool.inputs.get("nodeLocations", [])) <= 1


def test_preemptions_are_told_of_spot_nodes_alone() -> None:
    def names(run: Run) -> set[str]:
        return {condition(each)["alertRule"] for each in run.of("AlertPolicy")}

    assert names(told()) - names(told_of_prod()) == {"SpotPreemptions"}


def test_an_alert_is_deleted_before_its_address_and_the_dashboard_before_the_cluster() -> None:
    run = told()
    for each in run.of("AlertPolicy"):
        assert goes_before(run, each, "NotificationChannel")
    assert goes_before(run, "Dashboard", "gcp:container/cluster:Cluster")


def test_an_address_of_one_stack_changes_only_what_tells_it() -> None:
    without, with_it = run_of("dev"), told()
    names = {(each.type, each.name) for each in without.resources}
    added = [each for each in with_it.resources if (each.type, each.name) not in names]
    assert {each.type.rpartition(":")[2] for each in added} == set(KINDS) - {"Dashboard"}
