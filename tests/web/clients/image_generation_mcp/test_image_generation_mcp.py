"""The MCP server image-generation-mcp, unchanged, between an assistant and the service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.web.clients.environments import Seen, python_client
from tests.web.clients.pictures import from_base64
from tests.web.running import WebProcess

pytestmark = pytest.mark.slow

CALLS = ("through_stable_diffusion_web_ui", "through_openai")


@pytest.fixture(scope="module")
def seen(slow_service: WebProcess) -> Seen:
    return python_client(Path(__file__).parent, slow_service.url)


def test_the_checkpoint_is_discovered(seen: Seen) -> None:
    providers = seen.returned("through_stable_diffusion_web_ui")["providers"]["providers"]
    assert providers["sd_webui"]["available"]
    (model,) = providers["sd_webui"]["capabilities"]["models"]
    assert model["can_generate"]


@pytest.mark.parametrize("call", CALLS)
def test_an_assistant_asks_waits_and_looks_at_a_picture(seen: Seen, call: str) -> None:
    outcome = seen.returned(call)
    assert outcome["seen"][-1]["status"] == "completed", outcome["seen"][-1]
    (image,) = [part for part in outcome["shown"] if part["type"] == "image"]
    from_base64(image["data"])


def test_progress_is_polled_while_a_picture_is_drawn(seen: Seen) -> None:
    outcome: dict[str, Any] = seen.returned("through_stable_diffusion_web_ui")
    progress = [status.get("progress") or 0 for status in outcome["seen"][:-1]]
    assert max(progress) > 0, outcome["seen"]
