"""The time of a request where a machine may have to start for it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings import stack as settings
from infra.settings import time_budget as table
from infra.settings.keys import PLACEHOLDER
from infra.settings.pod import ModelAccess
from infra.settings.time_budget import LONGEST_SECONDS, TimeBudget, time_budget
from infra.settings.values import SettingsError
from model_export.spec import WEIGHTS_LICENCE
from render.recorder import PROJECT, ROOT, stack_config

SIZES = st.integers(0, 20_000_000_000)
ACCESS = st.sampled_from(["gs", "fuse"])
REQUESTS = st.integers(1, 3600)


def allowed(size: int, access: ModelAccess, request: int) -> TimeBudget | None:
    try:
        return time_budget(size, access, request)
    except SettingsError:
        return None


@given(SIZES, ACCESS, REQUESTS)
def test_a_request_outlasts_node_images_model_queue_and_picture_or_is_refused(
    size: int, access: ModelAccess, request: int
) -> None:
    budget = allowed(size, access, request)
    load = size / table.READ_BYTES_PER_SECOND[access] + table.WARM_UP_SECONDS
    needed = table.NODE_SECONDS + table.IMAGES_SECONDS + load + request
    if budget is None:
        assert needed + table.MARGIN_SECONDS > LONGEST_SECONDS - 1
    else:
        assert needed <= budget.revision <= LONGEST_SECONDS


@given(SIZES, ACCESS, REQUESTS)
def test_whoever_waits_outlasts_whom_it_waits_for(
    size: int, access: ModelAccess, request: int
) -> None:
    budget = allowed(size, access, request)
    if budget is not None:
        assert budget.request < budget.job < budget.revision
        assert budget.job == budget.wake + budget.request


@given(SIZES, ACCESS, REQUESTS)
def test_a_refused_time_comes_with_the_longest_that_is_allowed(
    size: int, access: ModelAccess, request: int
) -> None:
    try:
        time_budget(size, access, request)
    except SettingsError as error:
        offered = re.search(r"requestTimeoutSeconds: (\d+)`", str(error))
        if offered is None:
            assert allowed(size, access, 1) is None
        else:
            longest = int(offered[1])
            assert allowed(size, access, longest) and not allowed(size, access, longest + 1)


def test_the_refusal_says_each_part_and_what_more_needs() -> None:
    with pytest.raises(SettingsError) as error:
        time_budget(7_050_000_000, "fuse", 400)
    line = str(error.value)
    assert line.startswith(
        "requestTimeoutSeconds: 400 s, after 257 s in which a machine starts (node 120, images 45, "
        "model 92) and with 15 s to spare, are more than the 600 s"
    )
    assert "max-revision-timeout-seconds" in line and "terminationGracePeriodSeconds" in line
    assert "requestTimeoutSeconds: 328`" in line and "\n" not in line


def test_a_model_that_never_loads_in_time_is_not_answered_with_a_shorter_time() -> None:
    with pytest.raises(SettingsError, match="take a smaller model, or modelAccess: fuse"):
        time_budget(20_000_000_000_000, "gs", 1)


def test_the_documented_times_are_the_tables() -> None:
    config = stack_config("knative")
    values = {key.removeprefix(f"{PROJECT}:"): value for key, value in config.items()}
    given = {"acceptLicence": WEIGHTS_LICENCE, "apiKeys": PLACEHOLDER}
    budget = settings.parse(values | given, "my-project-1").time_budget
    slower = settings.parse(
        values | given | {"modelAccess": "gs", "requestTimeoutSeconds": "1"}, "my-project-1"
    ).time_budget
    assert budget is not None and slower is not None
    text = (ROOT / "docs/serverless.md").read_text(encoding="utf-8")
    for row in (
        f"| node | {budget.node} |",
        f"| images | {budget.images} |",
        f"| model | {budget.load} |",
        f"`modelAccess: gs` needs {slower.load} |",
        f"| **together** | **{budget.wake}** |",
        f"| `requestTimeoutSeconds` | {budget.request} s |",
        f"| {budget.job} s; clients",
        f"| {budget.revision} s |",
    ):
        assert row in text, row
