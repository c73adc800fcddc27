"""`python -m web` as a front and as its worker: a worker that is killed, and a front that stops."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.processes import free_ports, wait_until
from tests.web.keys import ALICE, BOB, bearer, write
from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer
from tests.web.walk import options_of
from web.roles import Role

pytestmark = pytest.mark.slow

JOB = {"id": "one", "prompt": "a red circle", "seed": 7, "steps": 20}


def _worker(stub: StubModelServer, port: int, keys: Path) -> WebProcess:
    return WebProcess([stub.endpoint], ["--role=worker", f"--port={port}", f"--keys-file={keys}"])


def test_a_killed_worker_is_replaced_and_a_front_that_stops_finishes_its_jobs(
    tmp_path: Path,
) -> None:
    (port,) = free_ports(1)
    keys, key = write(tmp_path / "keys.json", ("front", BOB)), tmp_path / "key"
    key.write_text(BOB)
    users = write(tmp_path / "users.json", ("alice", ALICE))
    model = options_of(Role.FRONT, str(tmp_path))["model_description"]
    options = [
        *("--role=front", f"--worker-url=http://127.0.0.1:{port}", f"--keys-file={users}"),
        *(f"--model-description={model}", f"--worker-key-file={key}"),
    ]
    with (
        StubModelServer(Behaviour(seconds_per_step=0.1)) as stub,
        WebProcess([], options) as front,
    ):
        alice = bearer(ALICE)
        # There is no worker yet: the job waits for one.
        assert front.post("/api/v1/jobs", JOB, headers=alice).status_code == 202
        with _worker(stub, port, keys) as worker:
            wait_until(lambda: stub.calls["advance"] > 2, "some steps")
            worker.process.kill()
            worker.wait_for_exit()
        with _worker(stub, port, keys) as worker:
            done = front.get("/api/v1/jobs/one?wait=60", headers=alice).json()
            assert (done["state"], done["pictures"][0]["seed"]) == ("done", 7)
            front.post("/api/v1/jobs", {**JOB, "id": "two"}, headers=alice)
            wait_until(lambda: stub.in_flight > 0, "the second job")
            front.signal(signal.SIGTERM)
            done = front.get("/api/v1/jobs/two?wait=60", headers=alice).json()
            assert done["state"] == "done"
            picture = front.get("/api/v1/jobs/two/pictures/0", headers=alice)
            assert picture.content.startswith(b"\x89PNG")
            assert front.wait_for_exit() == 0
            assert "Traceback" not in front.log + worker.log
            assert BOB not in front.log + worker.log
