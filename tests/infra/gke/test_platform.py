"""The Google Cloud resources of the GKE stacks, and the order of their deletion."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest
from pulumi.output import Unknown
from pulumi.runtime.mocks import MockResourceArgs

from infra.gke.identity import principal
from infra.gke.kubeconfig import kubeconfig
from render import recorder
from render.placeholders import PROJECT_ID, PROJECT_NUMBER
from render.recorder import Run, run_program
from serving import timing
from tests.stacks import (
    CLUSTER_STACKS,
    GKE_STACKS,
    KNATIVE_STACKS,
    STACKS,
    goes_before,
    kubernetes_objects,
    needs,
    run_of,
    service,
)

OUTPUTS = {"modelName", "modelUri", "fingerprint", "limits"}
EXPOSED = ("true", "rest", "false")
LOCAL_OUTPUTS = OUTPUTS | {"page", "endpoint", "modelEndpoint", "grpcEndpoint"}
GKE_OUTPUTS = OUTPUTS | {"bucket", "kubeconfigCommand"}
EXPOSED_OUTPUTS = GKE_OUTPUTS | {"modelEndpoint", "grpcEndpoint", "curl"}


@pytest.fixture(params=GKE_STACKS)
def run(request: pytest.FixtureRequest) -> Run:
    return run_of(request.param)


@pytest.mark.parametrize("stack", STACKS)
def test_every_committed_stack_runs_and_exports_its_outputs(stack: str) -> None:
    ran = run_of(stack)
    expected = GKE_OUTPUTS if stack in CLUSTER_STACKS else LOCAL_OUTPUTS
    assert set(ran.outputs) == expected | ({"revision"} if stack in KNATIVE_STACKS else set())
    assert all(ran.outputs.values())
    assert not ran.secret_outputs


def test_an_exposed_model_server_is_among_the_outputs() -> None:
    assert set(run_of("dev", exposeModelServer="true").outputs) == EXPOSED_OUTPUTS
    assert set(run_of("dev", exposeModelServer="rest").outputs) == EXPOSED_OUTPUTS - {
        "grpcEndpoint"
    }


def test_a_page_with_plain_http_is_among_the_outputs() -> None:
    run = run_of("dev", allowPlainHttp="true")
    assert set(run.outputs) == GKE_OUTPUTS | {"page", "endpoint"}


def test_a_page_at_a_domain_is_among_the_outputs_with_the_address_for_dns() -> None:
    run = run_of("dev", domain="draw.example.com")
    assert set(run.outputs) == GKE_OUTPUTS | {"page", "endpoint", "address"}


@pytest.mark.parametrize(
    ("stack", "domain"), [("dev", "draw.example.com"), (KNATIVE_STACKS[0], "")]
)
def test_outputs_are_stored_only_if_the_pods_serve(
    stack: str, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, stored = recorder._Mocks.new_resource, list[str]()

    def new_resource(mocked: recorder._Mocks, args: MockResourceArgs) -> tuple[str | None, Any]:
        if args.typ == "kubernetes:core/v1:Service":
            raise RuntimeError("the rollout before it has failed")
        return made(mocked, args)

    monkeypatch.setattr(recorder._Mocks, "new_resource", new_resource)
    monkeypatch.setattr(
        recorder._Monitor,
        "RegisterResourceOutputs",
        lambda _monitor, request: stored.append(request.urn.split("::")[2]),
    )
    with pytest.raises(RuntimeError, match="the rollout before it has failed"):
        run_program(stack, domain=domain)
    assert "pulumi:pulumi:Stack" not in stored


def test_the_local_stack_makes_no_cloud_calls() -> None:
    assert run_of("local").invoked == []


def test_a_stack_without_a_project_is_refused_in_one_line() -> None:
    advice = r"^gcp:project: is missing\. Make a stack of your own: `make stack [^\n]*`$"
    with pytest.raises(pulumi.RunError, match=advice):
        run_program("dev", fill_in=False, allowedSourceRanges="203.0.113.0/24")


def test_every_resource_belongs_to_a_component_and_has_a_short_name(run: Run) -> None:
    components = {r.urn for r in run.resources if not r.custom}
    roots = [r for r in run.resources if r.parent not in components]
    assert {r.type.rpartition(":")[2] for r in roots} == {"Platform", "ModelService", "ModelExport"}
    # A cluster's name may have 40 characters, including Pulumi's suffix of eight.
    assert all(len(r.name) <= 32 for r in run.resources)


def test_kubernetes_objects_are_deleted_before_nodes_cluster_and_network(run: Run) -> None:
    for one in kubernetes_objects(run):
        for then in ("pulumi:providers:kubernetes", "gcp:container/nodePool:NodePool"):
            assert goes_before(run, one, then), one.urn
        assert goes_before(run, one, "gcp:container/cluster:Cluster")
        assert goes_before(run, one, "gcp:compute/subnetwork:Subnetwork")
        assert goes_before(run, one, "gcp:compute/routerNat:RouterNat")


def test_the_load_balancer_is_deleted_before_the_pods_and_the_pods_before_their_permissions(
    run: Run,
) -> None:
    for one in run.of("kubernetes:core/v1:Service"):
        assert goes_before(run, one, "Deployment")
    assert goes_before(run, "Deployment", "BucketIAMMember")
    assert goes_before(run, "Deployment", "ConfigMap")
    assert goes_before(run, "Deployment", "Secret")
    assert goes_before(run, "Deployment", run.one("kubernetes:core/v1:Namespace"))


def test_the_model_is_deleted_after_the_pods_and_before_its_bucket(run: Run) -> None:
    assert goes_before(run, "Deployment", "ModelExport")
    assert goes_before(run, "ModelExport", "Bucket")


def test_nodes_are_deleted_before_their_role_and_their_nat(run: Run) -> None:
    pool = run.one("gcp:container/nodePool:NodePool")
    assert run.one("gcp:projects/iAMMember:IAMMember").urn in needs(run, pool)
    assert run.one("RouterNat").urn in needs(run, pool)


def test_everything_waits_for_the_apis(run: Run) -> None:
    apis = {r.urn for r in run.of("gcp:projects/service:Service")}
    assert apis
    for kind in ("Network", "Bucket", "Account", "Cluster"):
        made = [one for one in run.of(kind) if one.custom]
        assert made, kind
        for one in made:
            assert apis <= needs(run, one), one.urn
    assert all(not r.inputs["disableOnDestroy"] for r in run.of("gcp:projects/service:Service"))


def test_all_google_resources_wait_for_what_google_has_just_been_asked_for(run: Run) -> None:
    by_google = [r for r in run.resources if r.type.startswith("gcp:")]
    assert len(by_google) > 10
    assert all(r.error_hooks == ("wait-for-google",) for r in by_google)
    assert not any(r.error_hooks for r in run.resources if r not in by_google)


def test_nothing_is_asked_of_google_before_the_apis_are_enabled(run: Run) -> None:
    assert run.invoked == []


def _cluster(run: Run) -> dict[str, Any]:
    return run.one("gcp:container/cluster:Cluster").inputs


def test_nodes_are_private_and_the_control_plane_is_reached_by_its_dns_name(run: Run) -> None:
    cluster, pool = _cluster(run), run.one("gcp:container/nodePool:NodePool").inputs
    assert cluster["privateClusterConfig"]["enablePrivateNodes"] is True
    assert pool["networkConfig"]["enablePrivateNodes"] is True
    endpoints = cluster["controlPlaneEndpointsConfig"]
    assert endpoints["ipEndpointsConfig"]["enabled"] is False
    assert endpoints["dnsEndpointConfig"]["allowExternalTraffic"] is True


def test_the_cluster_has_what_the_service_relies_on(run: Run) -> None:
    cluster = _cluster(run)
    assert cluster["networkingMode"] == "VPC_NATIVE"
    assert cluster["datapathProvider"] == "ADVANCED_DATAPATH"
    assert cluster["workloadIdentityConfig"]["workloadPool"] == f"{PROJECT_ID}.svc.id.goog"
    assert cluster["releaseChannel"]["channel"] == "REGULAR"
    assert cluster["addonsConfig"]["gcsFuseCsiDriverConfig"]["enabled"] is True
    assert cluster["monitoringConfig"]["managedPrometheus"]["enabled"] is True
    assert cluster["costManagementConfig"]["enabled"] is True


def test_updates_ignore_what_changes_by_itself(run: Run) -> None:
    cluster = run.one("gcp:container/cluster:Cluster")
    assert set(cluster.ignore_changes) == {"nodeConfig", "initialNodeCount"}
    assert cluster.delete_before_replace
    pool = run.one("gcp:container/nodePool:NodePool")
    assert set(pool.ignore_changes) == {"initialNodeCount", "nodeCount"}


def test_a_replacement_pool_is_created_before_the_old_one_is_deleted(run: Run) -> None:
    pool = run.one("gcp:container/nodePool:NodePool")
    assert not pool.delete_before_replace
    assert not pool.protect
    assert "name" not in pool.inputs


def test_nodes_are_shielded_and_have_their_own_service_account(run: Run) -> None:
    config = run.one("gcp:container/nodePool:NodePool").inputs["nodeConfig"]
    assert config["shieldedInstanceConfig"]["enableSecureBoot"] is True
    assert config["workloadMetadataConfig"]["mode"] == "GKE_METADATA"
    account = run.one("gcp:serviceaccount/account:Account")
    assert config["serviceAccount"] == account.outputs["email"]
    assert _cluster(run)["nodeConfig"]["serviceAccount"] == account.outputs["email"]
    roles = [r.inputs["role"] for r in run.of("gcp:projects/iAMMember:IAMMember")]
    assert roles == ["roles/container.defaultNodeServiceAccount"]


def test_the_pool_of_dev_is_spot_and_has_one_or_two_n2_machines() -> None:
    pool = run_of("dev").one("gcp:container/nodePool:NodePool").inputs
    assert pool["nodeConfig"]["machineType"] == "n2-standard-4"
    assert pool["nodeConfig"]["spot"] is True
    autoscaling = pool["autoscaling"]
    assert (autoscaling["totalMinNodeCount"], autoscaling["totalMaxNodeCount"]) == (1, 2)
    assert autoscaling["locationPolicy"] == "ANY"


@pytest.mark.parametrize(("stack", "surge"), [("dev", 0), ("prod", 1)])
def test_node_upgrades_need_a_spare_node_only_where_there_is_room(stack: str, surge: int) -> None:
    settings = run_of(stack).one("gcp:container/nodePool:NodePool").inputs["upgradeSettings"]
    assert (settings["maxSurge"], settings["maxUnavailable"]) == (surge, 1 - surge)


def pools(**changes: str) -> dict[str, dict[str, Any]]:
    """The inputs of the node pools of `prod`, by the label of their nodes."""
    found = run_of("prod", **changes).of("gcp:container/nodePool:NodePool")
    return {
        one.inputs["nodeConfig"]["labels"]["diffusion-serving/pool"]: one.inputs for one in found
    }


def test_a_regional_pool_starts_with_the_least_nodes_over_all_zones() -> None:
    zones = ["us-central1-a", "us-central1-c"]
    (pool,) = pools().values()
    assert pool["nodeLocations"] == _cluster(run_of("prod"))["nodeLocations"] == zones
    assert (pool["initialNodeCount"], pool["autoscaling"]["totalMinNodeCount"]) == (1, 2)
    (pool,) = pools(minNodes="4").values()
    assert (pool["initialNodeCount"], pool["autoscaling"]["totalMinNodeCount"]) == (2, 4)


def test_a_system_pool_exists_only_if_the_serving_pool_can_be_empty() -> None:
    assert pools().keys() == {"serving"}
    assert "taints" not in pools()["serving"]["nodeConfig"]
    both = pools(minNodes="0")
    assert both.keys() == {"serving", "system"}
    assert both["serving"]["initialNodeCount"] == 0
    (taint,) = both["serving"]["nodeConfig"]["taints"]
    assert taint == {"key": "diffusion-serving/pool", "value": "serving", "effect": "NO_SCHEDULE"}
    system = both["system"]
    assert system["nodeConfig"]["spot"] is False and "taints" not in system["nodeConfig"]
    assert system["initialNodeCount"] == 1 and len(system["nodeLocations"]) == 1


@pytest.mark.parametrize("stack", GKE_STACKS)
def test_draining_a_pool_is_bounded_and_has_time_for_its_pods_one_by_one(
    stack: str,
) -> None:
    run = run_of(stack)
    pool = run.one("gcp:container/nodePool:NodePool")
    (drain,) = pool.inputs["nodeDrainConfigs"]
    assert drain["respectPdbDuringNodePoolDeletion"] is True
    assert 600 <= int(drain["pdbTimeoutDuration"].removesuffix("s")) <= 3600
    settings = run.outputs["limits"]
    most = run.one("HorizontalPodAutoscaler").inputs["spec"]["maxReplicas"]
    for step in ("update", "delete"):
        allowed = 60 * int(pool.custom_timeouts[step].removesuffix("m"))
        assert allowed > most * timing.replace_seconds(settings["requestTimeoutSeconds"])
        assert allowed < 60 * 60 * 12


def test_what_the_cluster_takes_along_is_deleted_with_it_but_not_the_load_balancer(
    run: Run,
) -> None:
    cluster = run.one("gcp:container/cluster:Cluster").urn
    assert run.one("gcp:container/nodePool:NodePool").deleted_with == cluster
    by_urn = {r.urn: r for r in run.resources}
    for one in kubernetes_objects(run):
        inherited = one.deleted_with or by_urn[one.parent].deleted_with
        expected = "" if one.type == "kubernetes:core/v1:Service" else cluster
        assert inherited == expected, one.urn


def test_a_subnetwork_is_deleted_before_its_replacement_takes_the_same_ranges(run: Run) -> None:
    assert run.one("gcp:compute/subnetwork:Subnetwork").delete_before_replace


def test_the_address_of_the_load_balancer_is_ephemeral_reserved_or_the_users_own() -> None:
    def shown(**changes: str) -> tuple[object, list[Any]]:
        run = run_of("dev", exposeModelServer="true", **changes)
        spec = service(run).inputs["spec"]
        return spec.get("loadBalancerIP"), [r.inputs for r in run.of("Address")]

    assert shown() == (None, [])
    ip, (reserved,) = shown(loadBalancerAddress="static")
    assert ip == "203.0.113.1"
    assert (reserved["addressType"], reserved["region"]) == ("EXTERNAL", "us-central1")
    _, (inside,) = shown(loadBalancerAddress="static", internal="true")
    assert inside["addressType"] == "INTERNAL" and inside["subnetwork"]
    assert shown(loadBalancerAddress="my-address") == ("203.0.113.1", [])
    web = service(run_of("dev", allowPlainHttp="true", loadBalancerAddress="my-address"), "web")
    assert web.inputs["spec"]["loadBalancerIP"] == "203.0.113.1"
    assert (
        "gcp:compute/getAddress:getAddress"
        in run_of("dev", loadBalancerAddress="my-address").invoked
    )


def test_a_reserved_address_stays_while_nothing_is_exposed() -> None:
    """Released in the same update, it would still be in use by the load balancer."""
    hidden = run_of("dev", loadBalancerAddress="static", exposeModelServer="false")
    exposed = run_of("dev", loadBalancerAddress="static", exposeModelServer="true")
    assert hidden.one("Address").inputs == exposed.one("Address").inputs


def test_another_address_replaces_the_load_balancer_which_would_keep_the_old_one() -> None:
    runs = [run_of("dev", exposeModelServer=way, loadBalancerAddress="static") for way in EXPOSED]
    services = [service(run) for run in runs]
    assert all("spec.loadBalancerIP" in one.replace_on_changes for one in services)
    # So that a load balancer can come and go without that.
    assert {one.inputs["spec"]["loadBalancerIP"] for one in services} == {"203.0.113.1"}


def test_the_bucket_is_private_and_in_the_clusters_region(run: Run) -> None:
    bucket = run.one("gcp:storage/bucket:Bucket").inputs
    assert bucket["uniformBucketLevelAccess"] is True
    assert bucket["publicAccessPrevention"] == "enforced"
    assert _cluster(run)["location"].startswith(bucket["location"])
    assert bucket["softDeletePolicy"]["retentionDurationSeconds"] == 7 * 86400


def test_the_kubeconfig_holds_no_credential(run: Run) -> None:
    document = json.loads(run.one("pulumi:providers:kubernetes").inputs["kubeconfig"])
    assert set(document["users"][0]["user"]) == {"exec"}
    assert set(document["clusters"][0]["cluster"]) == {"server"}
    assert document == json.loads(kubeconfig("diffusion-0000000", "gke-0000000.gke.goog"))


def test_the_principal_has_the_projects_number_and_its_id_in_the_pool() -> None:
    assert principal(12, "my-project", "ns-1", "sa-1") == (
        "principal://iam.googleapis.com/projects/12/locations/global/"
        "workloadIdentityPools/my-project.svc.id.goog/subject/ns/ns-1/sa/sa-1"
    )
    member = run_of("dev").one("gcp:storage/bucketIAMMember:BucketIAMMember").inputs["member"]
    assert member == principal(PROJECT_NUMBER, PROJECT_ID, "diffusion-serving", "model-server")


def test_the_graph_is_the_same_in_every_run() -> None:
    def key(one: Run) -> list[Any]:
        return sorted(
            (r.urn, r.parent, sorted(r.dependencies), str(r.inputs)) for r in one.resources
        )

    assert key(run_program("dev")) == key(run_of("dev"))


@pytest.mark.parametrize("stack", GKE_STACKS)
def test_a_first_preview_in_which_nothing_is_known_has_the_same_graph(stack: str) -> None:
    def edges(one: Run) -> list[Any]:
        return sorted((r.urn, r.parent, r.protect, sorted(needs(one, r))) for r in one.resources)

    preview = run_program(stack, first_preview=True)
    assert edges(preview) == edges(run_of(stack))
    # Values of the program are known, those that a provider would add are not.
    unknown = {key for key, value in preview.outputs.items() if isinstance(value, Unknown)}
    assert {"bucket", "modelUri", "kubeconfigCommand"} <= unknown
    assert preview.outputs["limits"] == run_of(stack).outputs["limits"]
