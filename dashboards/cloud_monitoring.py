"""The table as a dashboard of Google's Cloud Monitoring.

It is in the form in which Google gives it back, without zeros and empty values: what Google leaves
out would look like a change in every preview.
"""

from __future__ import annotations

from typing import Any

from dashboards.layout import PANELS_IN_A_ROW, Placed, placed
from dashboards.metrics import Mode, Scope, Source, of_web_services, scoped
from dashboards.panel import PRICE, Panel, Section, Series
from dashboards.panels import sections

_COLUMNS = 48
_PANEL_HEIGHT, _HEADING_HEIGHT = 16, 5
_CONTROL_PLANE = "knative-serving"
"""The namespace of Knative's own pods."""


def scope(mode: Mode, *, cluster: str, namespace: str, service: str = "") -> Scope:
    """One service on one cluster. service: Knative's, of the workers."""
    ours = f'cluster="{cluster}", namespace="{namespace}"'
    found = dict.fromkeys(Source, ours) | of_web_services(mode, ours)
    found[Source.NODES] = f'monitored_resource="k8s_node", cluster_name="{cluster}"'
    if mode == "knative":
        knative = (
            f'cluster="{cluster}", namespace="{_CONTROL_PLANE}", '
            f'k8s_namespace_name="{namespace}", kn_service_name="{service}"'
        )
        found |= dict.fromkeys((Source.AUTOSCALER, Source.ACTIVATOR), knative)
    return found


def dashboard(title: str, mode: Mode, scope: Scope, price: float) -> dict[str, Any]:
    """What `dashboardJson` says. price: of a node for an hour; 0 if it is not known."""
    return {
        "displayName": title,
        "mosaicLayout": {
            "columns": _COLUMNS,
            "tiles": [
                _tile(each, scope, price) for each in placed(sections(mode, has_price=price > 0))
            ],
        },
    }


def query(expression: str, scope: Scope, price: float) -> str:
    return scoped(expression.replace(PRICE, f"{price:g}"), scope)


def _tile(each: Placed, scope: Scope, price: float) -> dict[str, Any]:
    width = _COLUMNS // PANELS_IN_A_ROW
    place = {
        "xPos": each.column * width,
        "yPos": each.row * _PANEL_HEIGHT + each.headings * _HEADING_HEIGHT,
    }
    tile: dict[str, Any] = {key: value for key, value in place.items() if value}
    if isinstance(each.what, Section):
        return {
            **tile,
            "width": _COLUMNS,
            "height": _HEADING_HEIGHT,
            "widget": {
                "title": each.what.title,
                "sectionHeader": {"subtitle": each.what.note, "dividerBelow": True},
            },
        }
    return {
        **tile,
        "width": width,
        "height": _PANEL_HEIGHT,
        "widget": {"title": each.what.title, "xyChart": _chart(each.what, scope, price)},
    }


def _chart(panel: Panel, scope: Scope, price: float) -> dict[str, Any]:
    return {
        "dataSets": [_data_set(panel, series, scope, price) for series in panel.series],
        "yAxis": {"scale": "LINEAR"},
        "chartOptions": {"mode": "COLOR"},
    }


def _data_set(panel: Panel, series: Series, scope: Scope, price: float) -> dict[str, Any]:
    asked = {"prometheusQuery": query(series.expression, scope, price)}
    return {
        "plotType": "STACKED_AREA" if panel.kind == "stacked" else "LINE",
        "targetAxis": "Y1",
        "legendTemplate": series.name or f"${{{series.by}}}",
        "timeSeriesQuery": {**asked, "unitOverride": panel.unit} if panel.unit else asked,
    }
