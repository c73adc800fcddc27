"""A stack's keys and its web service's image, from `up` to `destroy`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.gke.checks import (
    IN_THE_LAB,
    assert_nothing_left,
    assert_serving,
    assert_unchanged,
    deployment,
    keys_secret,
    web_image,
)
from tests.gke.lab import Lab
from tests.gke.web_pod import web_pod
from tests.processes import wait_until
from tests.web.keys import ALICE, BOB, CAROL, bearer
from tests.web.running import WebProcess
from tests.web.stub_model_server import StubModelServer

pytestmark = IN_THE_LAB

IMAGE, DEPLOYMENT, ROLLOUT = "WebImage web", "Deployment diffusion", "Rollout diffusion"
MARK = "<!-- a changed page -->"


def inputs(dev: Lab) -> dict[str, Any]:
    """What the state says of each resource, with its secrets.

    Not of providers: for one of them, the engine keeps the stack's whole config there, encrypted.
    """
    resources = dev.state("--show-secrets")["resources"]
    own = (one for one in resources if not one["type"].startswith("pulumi:providers:"))
    return {one["urn"]: one.get("inputs") for one in own}


def named(urns: set[str]) -> set[str]:
    """Type and name of each."""
    parts = (urn.rpartition("::") for urn in urns)
    return {f"{kind.rpartition(':')[2]} {name}" for kind, _, name in parts}


def previewed(dev: Lab) -> dict[str, set[str]]:
    """Which resources a preview touches, by what it does with them."""
    output = dev.pulumi("preview", "--json", step="preview")
    document, _ = json.JSONDecoder().raw_decode(output, output.index("{"))  # warnings beside it
    found: dict[str, set[str]] = {}
    for step in document["steps"]:
        if step["op"] != "same":
            found.setdefault(step["op"], set()).update(named({step["urn"]}))
    return found


def status(web: WebProcess, key: str) -> int:
    """What a request for a picture is answered."""
    headers = bearer(key) if key else {}
    body = {"prompt": "a red circle", "width": 64, "height": 64}
    return web.request("POST", "/sdapi/v1/txt2img", json=body, headers=headers).status_code


def test_keys_rotate_in_place_a_changed_source_exchanges_the_image_and_destroy_removes_it(
    dev: Lab, tmp_path: Path
) -> None:
    dev.up(step="first up")
    assert_serving(dev)
    first, pushes = web_image(dev), dev.registry.pushes()
    assert dev.registry.gate.refused_chunks == 0
    assert_unchanged(dev.up(step="up without changes"))
    assert dev.registry.pushes() == pushes

    with StubModelServer() as stub:
        with web_pod(dev, tmp_path / "first", stub.endpoint) as pod:
            web = pod.process
            wait_until(lambda: web.get("/ready").status_code == 200, "the model")
            assert [status(web, key) for key in (ALICE, BOB, "")] == [200, 401, 401]

            template, secret, before = deployment(dev), keys_secret(dev), inputs(dev)
            dev.set_key("alice", CAROL)
            dev.set_key("bob", BOB)
            output = dev.up(step="changed keys")
            assert_same_pods(deployment(dev), template)
            assert keys_secret(dev)["data"] != secret["data"]
            assert keys_secret(dev)["metadata"]["uid"] == secret["metadata"]["uid"]
            after = inputs(dev)
            assert changed(before, after) == {"Secret diffusion-web-keys"}
            # Nobody finds a key in what the engine prints and stores.
            shown = [output, json.dumps(after), json.dumps(dev.state())]
            shown.append(dev.pulumi("stack", "output", "--json", "--show-secrets", step="outputs"))
            assert not [key for key in (ALICE, BOB, CAROL) for text in shown if key in text]

            pod.bring_keys()
            wait_until(lambda: status(web, ALICE) == 401, "the end of an exchanged key")
            assert [status(web, key) for key in (CAROL, BOB)] == [200, 200]
            assert MARK not in web.get("/").text
        assert_unchanged(dev.up(step="up with the same keys"))
        assert dev.registry.pushes() == pushes

        page = dev.checkout.folder / "web/page/source/index.html"
        page.write_text(page.read_text().replace("</body>", f"{MARK}</body>"))
        before, asked = inputs(dev), list(dev.registry.gate.asked)
        touched = {IMAGE, DEPLOYMENT, ROLLOUT}
        steps = previewed(dev)
        assert set.union(*steps.values()) == touched, steps
        assert dev.registry.gate.asked == asked
        dev.up(step="changed source")
        assert_serving(dev)
        assert changed(before, inputs(dev)) == touched
        assert web_image(dev) != first and not dev.registry.has(first)
        with web_pod(dev, tmp_path / "second", stub.endpoint) as pod:
            web = pod.process
            wait_until(lambda: web.get("/ready").status_code == 200, "the model")
            assert MARK in web.get("/").text
            assert [status(web, key) for key in (CAROL, ALICE)] == [200, 401]

    dev.down()
    assert_nothing_left(dev)


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return named({urn for urn in before.keys() | after.keys() if before.get(urn) != after.get(urn)})


def assert_same_pods(new: dict[str, Any], old: dict[str, Any]) -> None:
    assert new["spec"]["template"] == old["spec"]["template"]
    assert new["metadata"]["generation"] == old["metadata"]["generation"]
    assert new["metadata"]["uid"] == old["metadata"]["uid"]


def test_a_repository_that_a_killed_up_left_is_removed_by_hand(dev: Lab) -> None:
    dev.google.order("create", "Repository", "hang after")
    process = dev.start("up", "--yes", "--refresh")
    dev.wait_for_call("hanging")
    dev.wait_for_rest()  # only the repository is unknown to the state
    dev.kill(process)
    assert "already exists" in dev.up(code=1, step="up after a kill")
    (left,) = dev.google.resources("Repository")
    dev.google.delete(left, lambda _bucket: True)
    dev.up(step="up after a removal")
    assert_serving(dev)
    dev.pulumi("refresh", "--yes", "--clear-pending-creates", step="cleared")
    dev.down()
    assert_nothing_left(dev)
