"""The objects of the stack `knative`: who reaches whom, with which key, and in which order."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
import yaml

from policy import rules
from prediction.description import Limits, read
from render.__main__ import write
from render.recorder import Run
from tests.knative.objects import SERVING, container, front, policy, secret, template, workers
from tests.policy_resources import resources_of
from tests.stacks import goes_before, kubernetes_objects, run_of, service
from web import options
from web.safety import keys as served_keys

FRONT_LABEL = {"app.kubernetes.io/name": "front", "app.kubernetes.io/part-of": "diffusion-serving"}


@pytest.fixture(scope="module")
def run() -> Run:
    return run_of("knative")


@pytest.fixture(scope="module")
def opened() -> Run:
    return run_of("knative", allowPlainHttp="true")


def in_secret(run: Run, name: str) -> str:
    (content,) = secret(run, name).inputs["data"].values()
    return base64.b64decode(content).decode()


def test_every_object_passes_the_rules(run: Run, opened: Run) -> None:
    for one in (run, opened):
        assert rules.violations(resources_of(one), must_be_protected=False) == []


def test_the_web_service_reads_the_command_lines_of_both_roles(run: Run) -> None:
    worker = options.parse(container(run)["args"])
    served = options.parse(front(run)["containers"][0]["args"])
    assert (worker.role, served.role) == ("worker", "front")
    assert worker.model_servers == ("127.0.0.1:8500",) and served.workers == 10
    limits = run.outputs["limits"]
    assert served.deadline_seconds == limits["requestTimeoutSeconds"]
    assert served.queue == limits["queue"]
    assert worker.deadline_seconds < served.deadline_seconds < timeout(run)
    # What a front has promised, no worker cuts short.
    assert worker.draw_deadline_seconds == served.deadline_seconds


def timeout(run: Run) -> float:
    return template(run)["spec"]["timeoutSeconds"]


def test_the_front_asks_the_workers_by_their_name_in_the_cluster(run: Run) -> None:
    served = options.parse(front(run)["containers"][0]["args"])
    metadata = workers(run).inputs["metadata"]
    assert served.worker_url == (
        f"http://{metadata['name']}.{metadata['namespace']}.svc.cluster.local"
    )


def test_the_front_is_one_pod_on_the_system_pool_and_workers_are_on_the_serving_pool(
    run: Run,
) -> None:
    spec = run.one("Deployment").inputs["spec"]
    assert spec["replicas"] == 1 and spec["strategy"] == {"type": "Recreate"}
    assert front(run)["nodeSelector"] == {"diffusion-serving/pool": "system"}
    worker = template(run)["spec"]
    assert worker["nodeSelector"] == {"diffusion-serving/pool": "serving"}
    (toleration,) = worker["tolerations"]
    pools = {one.name: one.inputs for one in run.of("gcp:container/nodePool:NodePool")}
    (taint,) = pools["diffusion-serving"]["nodeConfig"]["taints"]
    assert (taint["key"], taint["value"]) == (toleration["key"], toleration["value"])
    assert pools["diffusion-serving"]["autoscaling"]["totalMinNodeCount"] == 0
    assert pools["diffusion-system"]["nodeConfig"]["machineType"] == "e2-standard-4"


def test_a_worker_lets_in_the_users_and_the_front_by_the_key_that_the_front_has(run: Run) -> None:
    users = served_keys.parse(in_secret(run, "web-keys").encode())
    known = served_keys.parse(in_secret(run, "worker-keys").encode())
    own = in_secret(run, "front-key")
    assert known.names == users.names | {"front"}
    assert known.name_of(own.encode()) == "front" and users.name_of(own.encode()) is None


def test_the_fronts_key_is_a_secret_and_nowhere_else(run: Run) -> None:
    own = in_secret(run, "front-key")
    encoded = base64.b64encode(own.encode()).decode()
    assert secret(run, "front-key").secrets == {"data"}
    for one in run.resources:
        if one.name != "diffusion-front-key":
            assert own not in repr(one) and encoded not in repr(one)
        if not one.name.endswith("-keys"):
            assert hashlib.sha256(own.encode()).hexdigest() not in repr(one.inputs)


def test_an_exchanged_key_is_no_rollout(run: Run) -> None:
    other = run_of("knative", apiKeys=json.dumps({"alice": "another-key:0123456789"}))
    assert template(other) == template(run)
    assert other.one("Deployment").inputs == run.one("Deployment").inputs
    assert in_secret(other, "front-key") != in_secret(run, "front-key")


def test_the_front_knows_what_the_model_says_about_itself(run: Run) -> None:
    (config,) = (one for one in run.of("ConfigMap") if "description.json" in one.inputs["data"])
    described = read(config.inputs["data"]["description.json"], Limits())
    assert described.fingerprint == run.outputs["fingerprint"]
    (volume,) = (one for one in front(run)["volumes"] if "configMap" in one)
    assert volume["configMap"]["name"] == config.outputs["metadata"]["name"]
    served = options.parse(front(run)["containers"][0]["args"])
    (mount,) = (
        one for one in front(run)["containers"][0]["volumeMounts"] if one["name"] == volume["name"]
    )
    assert served.model_description == f"{mount['mountPath']}/description.json"


def test_the_page_is_reached_by_the_same_service_as_a_deployments(run: Run) -> None:
    found = service(run, "web").inputs["spec"]
    assert found["selector"] == FRONT_LABEL and found["type"] == "ClusterIP"
    assert found["ports"] == [{"name": "web", "port": 80, "targetPort": "web"}]
    assert front(run)["containers"][0]["ports"][0] == {"name": "web", "containerPort": 8080}


def test_workers_are_private_unless_plain_http_is_allowed_to_given_ranges(
    run: Run, opened: Run
) -> None:
    visibility = "networking.knative.dev/visibility"
    assert workers(run).inputs["metadata"]["labels"][visibility] == "cluster-local"
    assert run.one(SERVING).inputs["spec"]["ingress"]["kourier"]["service-type"] == "ClusterIP"
    assert len(run.of("kubernetes:core/v1:Service")) == 1
    assert visibility not in workers(opened).inputs["metadata"]["labels"]
    gateway = service(opened, "workers").inputs
    assert gateway["metadata"]["namespace"] == "knative-serving"
    assert gateway["spec"]["selector"] == {"app": "3scale-kourier-gateway"}
    assert gateway["spec"]["loadBalancerSourceRanges"] == ["203.0.113.0/24"]


def test_open_workers_have_a_reserved_address_and_its_domain_in_one_pass(opened: Run) -> None:
    address = opened.one("gcp:compute/address:Address").outputs["address"]
    assert service(opened, "workers").inputs["spec"]["loadBalancerIP"] == address
    domain = f"{address}.sslip.io"
    assert opened.one(SERVING).inputs["spec"]["config"]["domain"] == {domain: ""}
    assert opened.outputs["workerEndpoint"] == f"http://diffusion.diffusion-serving.{domain}"
    # The front has a load balancer of its own.
    assert service(opened, "web").inputs["spec"]["type"] == "LoadBalancer"


def test_a_domain_leads_to_the_front_over_tls_and_leaves_the_workers_private() -> None:
    run = run_of("knative", domain="draw.example.com", allowedSourceRanges="203.0.113.0/24")
    assert run.outputs["endpoint"] == "https://draw.example.com"
    assert "workerEndpoint" not in run.outputs
    assert run.of("Gateway") and len(run.of("kubernetes:core/v1:Service")) == 1
    # A destroy waits for what Google's controllers made for the Gateway.
    assert run.one("kubernetes:core/v1:Namespace", "diffusion").deleted_with == ""


def test_only_knative_and_the_collectors_of_metrics_connect_to_a_worker(run: Run) -> None:
    found = policy(run, "worker")
    assert found["podSelector"]["matchLabels"] == template(run)["metadata"]["labels"]
    by_namespace = {
        tuple(peer["namespaceSelector"]["matchExpressions"][0]["values"]): {
            int(port["port"]) for port in rule["ports"]
        }
        for rule in found["ingress"]
        for peer in rule["from"]
    }
    assert by_namespace == {
        ("knative-serving",): {8012, 8013, 8112, 9090},
        ("gmp-system", "gke-gmp-system"): {8081, 9091},
    }


def test_the_front_connects_to_nothing_but_names_and_knatives_gateway(run: Run) -> None:
    found = policy(run, "front")
    assert found["podSelector"]["matchLabels"] == FRONT_LABEL
    names, gateway = found["egress"]
    assert {int(port["port"]) for port in names["ports"]} == {53}
    assert {int(port["port"]) for port in gateway["ports"]} == {8081, 8444}
    (peer,) = gateway["to"]
    (expression,) = peer["namespaceSelector"]["matchExpressions"]
    assert expression["values"] == ["knative-serving"]


def test_service_before_knative_before_operator_is_the_order_down(run: Run) -> None:
    operator, namespace = run.one("Release"), run.one("kubernetes:core/v1:Namespace", "diffusion")
    serving = run.one(SERVING)
    assert goes_before(run, workers(run), serving) and goes_before(run, serving, operator)
    # What Knative made in the namespace is ended by Knative.
    assert goes_before(run, workers(run), namespace) and goes_before(run, namespace, serving)
    annotations = workers(run).inputs["metadata"]["annotations"]
    assert annotations["pulumi.com/deletionPropagationPolicy"] == "foreground"


def test_a_front_goes_on_with_the_earlier_model_until_workers_serve_the_new_one(run: Run) -> None:
    deployment = run.one("kubernetes:apps/v1:Deployment")
    assert workers(run).urn in deployment.dependencies


def test_everything_waits_until_it_is_ready(run: Run) -> None:
    for one in (workers(run), run.one(SERVING)):
        assert one.inputs["metadata"]["annotations"]["pulumi.com/waitFor"] == "condition=Ready"
        assert one.custom_timeouts["create"]


def test_a_destroy_deletes_load_balancers_and_leaves_the_rest_to_the_cluster(opened: Run) -> None:
    cluster = opened.one("gcp:container/cluster:Cluster")
    by_urn = {one.urn: one for one in opened.resources}
    for one in kubernetes_objects(opened):
        is_load_balancer = one.type == "kubernetes:core/v1:Service"
        inherited = one.deleted_with or by_urn[one.parent].deleted_with
        assert inherited == ("" if is_load_balancer else cluster.urn), one.urn
        assert goes_before(opened, one, "pulumi:providers:kubernetes")


def test_the_metrics_of_front_and_workers_are_collected(run: Run) -> None:
    found = {
        one.inputs["metadata"]["name"]: (
            one.inputs["spec"]["selector"]["matchLabels"],
            [endpoint["port"] for endpoint in one.inputs["spec"]["endpoints"]],
        )
        for one in run.of("PodMonitoring")
        if one.inputs["metadata"]["namespace"] == "diffusion-serving"
    }
    worker = template(run)["metadata"]["labels"]
    # The web service's, and the queue's in front of it.
    assert found == {"front": (FRONT_LABEL, ["web-metrics"]), "worker": (worker, [8081, 9091])}


def test_a_worker_has_nothing_that_knative_refuses_in_a_pod(run: Run) -> None:
    pod = template(run)["spec"]
    containers = [*pod["initContainers"], *pod["containers"]]
    mounted = {mount["name"] for one in containers for mount in one["volumeMounts"]}
    assert {volume["name"] for volume in pod["volumes"]} == mounted
    assert not {"terminationGracePeriodSeconds", "topologySpreadConstraints"} & set(pod)
    for one in containers:
        assert "lifecycle" not in one
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert "terminationGracePeriodSeconds" not in one.get(name, {})


def test_a_worker_has_time_to_start_on_a_new_node(run: Run) -> None:
    annotations = template(run)["metadata"]["annotations"]
    progress = int(annotations["serving.knative.dev/progress-deadline"].removesuffix("s"))
    assert progress >= 900 + 600
    create = int(workers(run).custom_timeouts["create"].removesuffix("s"))
    assert create > progress


@pytest.mark.parametrize("minor", ["1.34"])
def test_make_render_writes_objects_that_kubernetes_accepts(
    run: Run, minor: str, tmp_path: Path
) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    write(run, tmp_path)
    documents = [yaml.safe_load(path.read_text()) for path in tmp_path.rglob("*.yaml")]
    custom = {"knative.dev", "googleapis.com"}
    for one in documents:
        group = one["apiVersion"].partition("/")[0]
        if not group.endswith(tuple(custom)):
            kubernetes_validate.validate(one, minor, strict=True)
    kinds = {(one["kind"], one["metadata"]["name"]) for one in documents}
    assert {("KnativeServing", "knative-serving"), ("Service", "diffusion")} < kinds
    assert {("Deployment", "front"), ("Service", "web"), ("Secret", "front-key")} < kinds
