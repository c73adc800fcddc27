"""Google's dashboard: what Google takes, in the form in which it gives it back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from google.protobuf.json_format import ParseError

from dashboards.cloud_monitoring import dashboard, scope
from dashboards.metrics import MODES, Mode
from dashboards.panels import sections
from tests.dashboards.google import assert_google_takes, returned


def made(mode: Mode, price: float = 0.2) -> dict[str, Any]:
    found = scope(mode, cluster="one", namespace="mine", service="diffusion")
    return dashboard("Pictures", mode, found, price)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("price", [0.0, 0.2])
def test_googles_own_definition_of_a_dashboard_takes_it(mode: Mode, price: float) -> None:
    assert_google_takes(made(mode, price))


def test_googles_definition_refuses_what_is_not_in_it() -> None:
    wrong = copy.deepcopy(made("deployment"))
    wrong["mosaicLayout"]["tiles"][1]["widget"]["xyChart"]["colour"] = "red"
    with pytest.raises(ParseError):
        assert_google_takes(wrong)


@pytest.mark.parametrize("mode", MODES)
def test_it_has_nothing_that_google_would_leave_out(mode: Mode) -> None:
    assert returned(made(mode)) == made(mode)


@pytest.mark.parametrize("mode", MODES)
def test_it_is_the_same_at_each_run_and_has_every_panel_of_its_mode(mode: Mode) -> None:
    assert made(mode) == made(mode)
    titles = [tile["widget"]["title"] for tile in made(mode)["mosaicLayout"]["tiles"]]
    expected: list[str] = []
    for section in sections(mode, has_price=True):
        expected += [section.title, *(panel.title for panel in section.panels)]
    assert titles == expected


def test_knatives_own_series_are_those_of_this_service_in_knatives_namespace() -> None:
    text = str(made("knative"))
    knative = 'namespace="knative-serving", k8s_namespace_name="mine", kn_service_name="diffusion"'
    assert f'kn_revision_pods_desired{{cluster="one", {knative}}}' in text
    assert 'web_queued_jobs{cluster="one", namespace="mine", job="front"}' in text
    assert 'web_model_start_seconds{cluster="one", namespace="mine", job="worker"}' in text


def test_a_legend_is_a_name_or_the_value_of_a_label() -> None:
    assert "'legendTemplate': '${api}'" in str(made("deployment"))
    assert "'legendTemplate': 'p95'" in str(made("deployment"))
