"""Services in known states, as the series that a Prometheus has of them.

A namespace is one service. Our own series are what /metrics said; what only Google or Knative make
is `synthetic`. Scrapes are 30 s apart over the hour that ends at `NOW`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

import grpc

from dashboards.metrics import FRONT, WORKER
from prediction.limits import PictureRequest
from tests.dashboards import prometheus
from tests.dashboards.prometheus import synthetic
from tests.web.front.pair import Pair, check_pair
from tests.web.in_process import InProcess, check_in_process
from tests.web.stub_model_server import Behaviour
from web.jobs.job import Api, Asked, Job, JobState
from web.metrics import Metrics

NOW = 1_790_000_040
"""At a full minute."""
HOUR, SCRAPE = 3600, 30
CLUSTER, SERVICE = "the-cluster", "diffusion"
CORES = "kubernetes_io:node_cpu_total_cores"
TXT2IMG, GENERATIONS, JOBS = "/sdapi/v1/txt2img", "/v1/images/generations", "/api/v1/jobs"

WAITING = [number * 0.15 for number in range(400)]
DRAWING = [20 + 12 * (number % 20) / 20 + (30 if number % 20 == 19 else 0) for number in range(400)]
"""Seconds of the slow service's jobs: half a minute each, some twice that."""


def times(since: float = HOUR, until: float = 0) -> range:
    """Of the scrapes, from so many seconds ago to so many."""
    return range(int(NOW - since), int(NOW - until) + 1, SCRAPE)


def scraped(namespace: str, at: Iterable[float], text: bytes) -> Iterator[str]:
    return prometheus.scraped(at, text, cluster=CLUSTER, namespace=namespace, job=FRONT)


def constant(name: str, value: float, at: Iterable[float], **labels: str) -> Iterator[str]:
    return synthetic(name, [(seconds, value) for seconds in at], labels)


def before_and_after(namespace: str, before: bytes, after: bytes) -> Iterator[str]:
    """Everything happened between the last two scrapes."""
    yield from scraped(namespace, times(until=SCRAPE), before)
    yield from scraped(namespace, [NOW], after)


def busy() -> Iterator[str]:
    """A real service under a known load: one job is drawn, two wait, and its queue is full.

    Answers: AUTOMATIC1111's API 6 × 200 and 502, 503; OpenAI's 2 × 400; its own 4 × 202 and
    2 × 503. Jobs: 6 done with 7 pictures, 1 failed, 1 cancelled.
    """
    pages: list[bytes] = []

    async def check(run: InProcess) -> None:
        behaviour = run.stub.behaviour
        pages.append(run.service.metrics.text())
        for number in range(6):
            await run.post(TXT2IMG, prompt="a", batch_size=2 if number == 0 else 1)
        for _ in range(2):
            await run.post(GENERATIONS, prompt="a", steps=1000)
        behaviour.fails["begin"] = grpc.StatusCode.INTERNAL
        await run.post(TXT2IMG, prompt="a")
        behaviour.fails.clear()
        await run.until_ready()
        behaviour.seconds_per_step = 0.1
        await run.post(JOBS, prompt="a", id="cancelled")
        await run.client.delete(f"{JOBS}/cancelled")
        await run.until(lambda: not run.service.models.servers[0].is_busy)
        behaviour.seconds_per_step = 60.0
        for number in range(3):
            await run.post(JOBS, prompt="a", id=str(number))
        for path in (JOBS, JOBS, TXT2IMG):
            assert (await run.post(path, prompt="a")).status_code == 503
        for _ in range(9):
            await run.get(f"{JOBS}/0")
        pages.append(run.service.metrics.text())
        behaviour.seconds_per_step = 0.0

    check_in_process(check, Behaviour(), queue=2)
    yield from before_and_after("busy", *pages)
    yield from pods("busy", wanted=3, ready=2, pending=1)
    yield from nodes("busy-deployment", system_cores=2)
    yield from nodes("busy-knative", system_cores=4)


def pods(namespace: str, *, wanted: int, ready: int, pending: int) -> Iterator[str]:
    """Synthetic: by GKE's kube state metrics, and by Knative's autoscaler and activator."""
    ours = {"cluster": CLUSTER, "namespace": namespace}
    of_model_server = {**ours, "deployment": "model-server"}
    yield from constant("kube_deployment_spec_replicas", wanted, times(), **of_model_server)
    yield from constant(
        "kube_deployment_status_replicas_available", ready, times(), **of_model_server
    )
    for phase, count in (("Running", ready), ("Pending", pending)):
        for number in range(count):
            pod = {**ours, "pod": f"{phase}-{number}".lower()}
            yield from constant("kube_pod_status_phase", 1, times(), **pod, phase=phase)
    knative = {
        **{"cluster": CLUSTER, "namespace": "knative-serving", "k8s_namespace_name": namespace},
        **{"kn_service_name": SERVICE, "kn_revision_name": "diffusion-00001"},
    }
    yield from constant("kn_revision_pods_desired", wanted, times(), **knative)
    yield from constant("kn_revision_pods_count", ready, times(), **knative)
    yield from constant("kn_revision_pods_pending_count", pending, times(), **knative)
    yield from constant("kn_revision_concurrency_stable", 1.5, times(), **knative)
    for code, count in (("200", 10), ("503", 5)):
        answered = [(t, count if t == NOW else 0) for t in times()]
        yield from synthetic(
            "http_server_request_duration_seconds_count",
            answered,
            {**knative, "http_response_status_code": code},
        )


def nodes(cluster: str, *, system_cores: int) -> Iterator[str]:
    """Synthetic, by GKE's system metrics: a node for an hour, one for its half, and one of the
    system pool; three preemptions. They have no namespace: each state has its own cluster."""
    of_google = {"monitored_resource": "k8s_node", "cluster_name": cluster}
    every_minute = range(NOW - HOUR, NOW + 1, 60)
    yield from constant(CORES, 4, every_minute, **of_google, node_name="one")
    yield from constant(CORES, 4, every_minute[30:], **of_google, node_name="two")
    yield from constant(CORES, system_cores, every_minute, **of_google, node_name="system")
    preempted = [(t, 1 if t in (NOW - 600, NOW - 1200, NOW - 1800) else 0) for t in every_minute]
    labels = {**of_google, "node_name": "one", "interruption_type": "PreemptionEvent"}
    yield from synthetic("kubernetes_io:node_interruption_count", preempted, labels)


def asleep() -> Iterator[str]:
    """Knative's service while nobody asks: the one node of its system pool."""
    every_minute = range(NOW - HOUR, NOW + 1, 60)
    of_google = {"monitored_resource": "k8s_node", "cluster_name": "asleep-knative"}
    yield from constant(CORES, 4, every_minute, **of_google, node_name="system")


def slow() -> Iterator[str]:
    """Jobs that took minutes."""
    metrics = Metrics()
    before = metrics.text()
    for waiting, drawing in zip(WAITING, DRAWING, strict=True):
        metrics.job_ended(ended(waiting, drawing))
        metrics.worker_began(drawing)
    yield from before_and_after("slow", before, metrics.text())


def ended(waiting: float, drawing: float, state: JobState = JobState.DONE) -> Job:
    asked = Asked((PictureRequest("a", "", 20, 7.5, 1),), Api.NATIVE)
    job = Job("one", asked, deadline=0, submitted=0, started=waiting, ended=waiting + drawing)
    job.state = state
    return job


def idle() -> Iterator[str]:
    """A service that nobody has ever asked for a picture, with a pod for more than an hour."""
    pages: list[bytes] = []

    async def check(run: InProcess) -> None:
        await run.until(lambda: run.service.models.start_seconds is not None)
        run.service.models.start_seconds = 42.0
        pages.append(run.service.metrics.text())

    check_in_process(check)
    yield from scraped("idle", times(), pages[0])
    yield from pods("idle", wanted=1, ready=1, pending=0)
    # A pod that started ten minutes ago, beside none from before.
    yield from scraped("woken", times(600), pages[0])
    # One that ended half an hour ago.
    yield from scraped("zero", times(HOUR, 1800), pages[0])


def loading() -> Iterator[str]:
    """A pod whose model does not load, with a job that waits for it."""
    pages: list[bytes] = []

    async def check(run: InProcess) -> None:
        await asyncio.wait_for(run.service.models.servers[0].was_checked.wait(), 60)
        pages.append(run.service.metrics.text())

    check_in_process(check, Behaviour(is_loading=True), waits=False)
    yield from scraped("loading", times(), pages[0])


def failing() -> Iterator[str]:
    """Nothing succeeds: each answer is 500, a fault of the service itself."""
    metrics = Metrics()
    before = metrics.text()
    for _ in range(4):
        metrics.request_answered(Api.NATIVE.value, 500, asks_for_pictures=True)
        metrics.request_rejected("internal_error", 500)
        metrics.job_ended(ended(1, 1, JobState.CANCELLED))
    yield from before_and_after("failing", before, metrics.text())


def pair() -> Iterator[str]:
    """A front and its worker, after three pictures by way of the front."""
    pages: list[bytes] = []

    async def check(run: Pair) -> None:
        services = (run.service, run.worker)
        pages.extend(service.metrics.text() for service in services)
        for _ in range(3):
            await run.post(TXT2IMG, prompt="a")
        pages.extend(service.metrics.text() for service in services)

    check_pair(check)
    for job, before, after in zip((FRONT, WORKER), pages[:2], pages[2:], strict=True):
        labels = {"cluster": CLUSTER, "namespace": "pair", "job": job}
        yield from prometheus.scraped(times(until=SCRAPE), before, **labels)
        yield from prometheus.scraped([NOW], after, **labels)


def unserved() -> Iterator[str]:
    """A front with a job, whose pods do not come. The front's page is that of any service."""
    pages: list[bytes] = []

    async def check(run: InProcess) -> None:
        run.stub.behaviour.seconds_per_step = 60.0
        await run.post(JOBS, prompt="a", id="1")
        pages.append(run.service.metrics.text())
        run.stub.behaviour.seconds_per_step = 0.0

    check_in_process(check)
    yield from scraped("unserved", times(), pages[0])
    yield from pods("unserved", wanted=1, ready=0, pending=1)


def everything() -> Iterator[str]:
    for world in (busy, asleep, slow, idle, loading, failing, pair, unserved):
        yield from world()
