"""What the service says of itself: capabilities, status, health, the page, the document."""

from __future__ import annotations

import pytest

from model_export.sources import OWN_LICENCE_NAME
from model_export.spec import WEIGHTS_LICENCE, WEIGHTS_LICENCE_URL
from tests.web.in_process import InProcess, check_in_process
from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer
from web.api.routes import MAX_LISTED

pytestmark = pytest.mark.slow


def test_capabilities_are_those_of_the_model_and_the_service(shared_web: WebProcess) -> None:
    found = shared_web.get("/api/v1/capabilities").json()
    assert found["format"] == 1
    assert found["model"]["fingerprint"] == "stub-1"
    assert {"begin", "advance", "finish"} <= set(found["model"]["signatures"])
    assert found["limits"]["imageSize"] == 64
    assert (found["limits"]["minSteps"], found["limits"]["maxSteps"]) == (1, 50)
    assert found["limits"]["queue"] == 100
    assert found["limits"]["deadlineSeconds"] == 600
    assert (found["progress"], found["previews"]) == ("real", True)
    assert found["formats"] == ["png", "jpeg", "webp"]
    assert found["apis"] == ["native", "openai", "a1111"]


def test_a_licence_with_duties_is_summed_up_for_those_who_draw() -> None:
    async def check(run: InProcess) -> None:
        model = (await run.get("/api/v1/capabilities")).json()["model"]
        assert model["licence"] == WEIGHTS_LICENCE
        assert model["licenceUrl"] == WEIGHTS_LICENCE_URL
        assert "responsible" in model["licenceText"]
        assert "Attachment A" in model["licenceText"]

    check_in_process(check, Behaviour(licence=WEIGHTS_LICENCE))


def test_an_own_models_licence_reminds_of_what_it_may_forbid() -> None:
    async def check(run: InProcess) -> None:
        model = (await run.get("/api/v1/capabilities")).json()["model"]
        assert (model["licence"], model["licenceUrl"]) == (OWN_LICENCE_NAME, "")
        assert "responsible" in model["licenceText"]
        assert "use restrictions" in model["licenceText"]

    check_in_process(check, Behaviour(licence=OWN_LICENCE_NAME))


@pytest.mark.parametrize("licence", ["Apache-2.0", "none (random weights)", "another"])
def test_a_licence_without_duties_for_them_says_nothing(licence: str) -> None:
    async def check(run: InProcess) -> None:
        model = (await run.get("/api/v1/capabilities")).json()["model"]
        assert (model["licence"], model["licenceUrl"], model["licenceText"]) == (licence, "", "")

    check_in_process(check, Behaviour(licence=licence))


def test_an_older_model_is_said_to_have_estimates_and_no_previews() -> None:
    async def check(run: InProcess) -> None:
        found = (await run.get("/api/v1/capabilities")).json()
        assert (found["progress"], found["previews"]) == ("estimated", False)

    check_in_process(check, Behaviour(in_chunks=False))


def test_status_and_page_say_what_there_is_before_there_is_a_model() -> None:
    async def check(run: InProcess) -> None:
        status = (await run.get("/api/v1/status")).json()
        assert status["state"] == "unreachable"
        [server] = status["modelServers"]
        assert (server["endpoint"], server["state"]) == ("127.0.0.1:1", "unreachable")
        assert (await run.get("/api/v1/capabilities")).json()["model"] is None
        assert (await run.get("/")).status_code == 200
        assert (await run.get("/health")).json() == {"status": "ok"}

    check_in_process(check, waits=False, model_servers=("127.0.0.1:1",))


def test_status_shows_a_model_that_loads() -> None:
    async def check(run: InProcess) -> None:
        await run.until(lambda: run.service.models.state == "loading")
        assert (await run.get("/api/v1/status")).json()["state"] == "loading"
        refused = await run.post("/api/v1/jobs", prompt="a")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "model_loading"

    check_in_process(check, Behaviour(is_loading=True), waits=False)


def test_a_service_that_stops_says_so() -> None:
    async def check(run: InProcess) -> None:
        run.service.queue.drain()
        health = await run.get("/health")
        assert (health.status_code, health.json()) == (503, {"status": "draining"})
        assert (await run.get("/api/v1/status")).json()["state"] == "draining"
        refused = await run.post("/api/v1/jobs", prompt="a")
        assert refused.json()["error"]["code"] == "shutting_down"

    check_in_process(check)


def test_a_job_that_costs_too_much_is_refused() -> None:
    async def check(run: InProcess) -> None:
        assert (await run.post("/api/v1/jobs", prompt="a", steps=5, count=2)).status_code == 202
        answer = await run.post("/api/v1/jobs", prompt="a", steps=6, count=2)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "too_costly"

    check_in_process(check, max_cost=10 * 64 * 64)


def test_status_says_how_busy_the_service_is(shared_web: WebProcess) -> None:
    shared_web.post("/sdapi/v1/txt2img", {"prompt": "a"})
    status = shared_web.get("/api/v1/status").json()
    assert status["state"] == "ready"
    [server] = status["modelServers"]
    assert server["fingerprint"] == "stub-1"
    assert server["secondsPerStep"] >= 0
    assert server["busy"] in (True, False)
    assert status["uptimeSeconds"] > 0
    assert status["queued"] >= 0


def test_ready_is_503_without_a_ready_model_server_and_once_it_stops() -> None:
    async def check(run: InProcess) -> None:
        assert (await run.get("/ready")).json() == {"status": "not_ready"}
        await run.until_ready()
        answer = await run.get("/ready")
        assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
        run.stub.close()
        await run.until(lambda: not run.service.models.ready)
        assert (await run.get("/ready")).status_code == 503
        assert (await run.get("/health")).status_code == 200

    async def check_stop(run: InProcess) -> None:
        run.service.queue.drain()
        answer = await run.get("/ready")
        assert (answer.status_code, answer.json()) == (503, {"status": "not_ready"})

    check_in_process(check, waits=False)
    check_in_process(check_stop)


def test_one_model_server_of_two_is_enough_to_be_ready() -> None:
    async def check(run: InProcess) -> None:
        assert (await run.get("/ready")).status_code == 200

    with StubModelServer() as stub:
        check_in_process(check, model_servers=(stub.endpoint, "127.0.0.1:1"))


def test_health_has_no_detail(shared_web: WebProcess) -> None:
    assert shared_web.get("/health").json() == {"status": "ok"}


def test_the_document_names_every_path_and_every_answer(shared_web: WebProcess) -> None:
    document = shared_web.get("/api/v1/openapi.json").json()
    assert set(document["paths"]) == {
        "/health",
        "/ready",
        "/api/v1/capabilities",
        "/api/v1/status",
        "/api/v1/figures",
        "/api/v1/tokens",
        "/api/v1/jobs",
        "/api/v1/jobs/{job_id}",
        "/api/v1/jobs/{job_id}/events",
        "/api/v1/jobs/{job_id}/pictures/{number}",
        "/api/v1/jobs/{job_id}/preview",
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["description"], path
            assert "422" not in operation["responses"]
            for status, answer in operation["responses"].items():
                assert answer["description"]
                assert status == "204" or answer["content"]
    events = document["paths"]["/api/v1/jobs/{job_id}/events"]["get"]["responses"]["200"]
    assert events["content"]["text/event-stream"]["itemSchema"]
    refused = document["paths"]["/api/v1/jobs"]["post"]["responses"]["503"]
    assert refused["headers"]["Retry-After"]


def test_another_method_is_405_with_all_that_are_offered(shared_web: WebProcess) -> None:
    for path, allowed in (
        ("/api/v1/jobs", "GET, POST"),
        ("/api/v1/jobs/one", "GET, DELETE"),
        ("/health", "GET"),
    ):
        answer = shared_web.request("PUT", path)
        assert answer.status_code == 405
        assert answer.headers["allow"] == allowed
        assert answer.json()["error"]["code"] == "method_not_allowed"


def test_a_list_has_the_last_hundred_jobs() -> None:
    async def check(run: InProcess) -> None:
        for number in range(MAX_LISTED + 1):
            await run.post("/api/v1/jobs", prompt="a", id=f"job-{number}")
        listed = [job["id"] for job in (await run.get("/api/v1/jobs")).json()["jobs"]]
        assert listed == [f"job-{number}" for number in range(MAX_LISTED, 0, -1)]

    check_in_process(check, queue=MAX_LISTED + 1)


@pytest.mark.parametrize(
    "path", ["/", "/health", "/api/v1/status", "/sdapi/v1/options", "/v1/models"]
)
def test_head_is_answered_like_get_without_a_body(path: str, shared_web: WebProcess) -> None:
    head, get = shared_web.request("HEAD", path), shared_web.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    refused = shared_web.request("HEAD", "/sdapi/v1/txt2img")
    assert (refused.status_code, refused.content) == (405, b"")
    assert shared_web.get(path).status_code == 200
