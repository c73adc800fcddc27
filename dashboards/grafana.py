"""The table as a dashboard file for Grafana, whose data source is any Prometheus."""

from __future__ import annotations

from typing import Any

from dashboards.layout import PANELS_IN_A_ROW, Placed, placed
from dashboards.metrics import Mode, Scope, Source, of_web_services, scoped
from dashboards.panel import Panel, Section, Series
from dashboards.panels import sections

SCHEMA_VERSION = 39
"""Of Grafana 11; later versions read it, too."""
_COLUMNS = 24
_PANEL_HEIGHT, _HEADING_HEIGHT = 8, 1
_DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_NAMESPACED = 'namespace=~"$namespace"'
_UNITS = {"": "short", "s": "s", "%": "percent"}


def scope(mode: Mode) -> Scope:
    """By the dashboard's variables. Outside of a cluster there is no namespace, which All shows."""
    return {
        **of_web_services(mode, _NAMESPACED),
        Source.KUBERNETES: _NAMESPACED,
        Source.NODES: 'monitored_resource="k8s_node"',
        Source.AUTOSCALER: 'k8s_namespace_name=~"$namespace"',
        Source.ACTIVATOR: 'k8s_namespace_name=~"$namespace"',
    }


def dashboard(mode: Mode) -> dict[str, Any]:
    """Of the classic schema, to import."""
    return {
        "uid": f"diffusion-serving-{mode}",
        "title": f"diffusion-serving ({mode})",
        "tags": ["diffusion-serving"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [_data_source(), _namespace(), _price()]},
        "panels": [
            _panel(number, each, scope(mode))
            for number, each in enumerate(placed(sections(mode, has_price=True)), start=1)
        ],
    }


def _panel(number: int, each: Placed, scope: Scope) -> dict[str, Any]:
    y = each.row * _PANEL_HEIGHT + each.headings * _HEADING_HEIGHT
    if isinstance(each.what, Section):
        return {
            "id": number,
            "type": "row",
            "title": f"{each.what.title}: {each.what.note}",
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": _COLUMNS, "h": _HEADING_HEIGHT},
            "panels": [],
        }
    width = _COLUMNS // PANELS_IN_A_ROW
    return {
        "id": number,
        "type": "timeseries",
        "title": each.what.title,
        "datasource": _DATA_SOURCE,
        "gridPos": {"x": each.column * width, "y": y, "w": width, "h": _PANEL_HEIGHT},
        "targets": [_target(i, series, scope) for i, series in enumerate(each.what.series)],
        "fieldConfig": {"defaults": _field(each.what), "overrides": []},
        "options": {
            "legend": {
                "displayMode": "list",
                "placement": "bottom",
                "showLegend": True,
                "calcs": [],
            },
            "tooltip": {"mode": "multi", "sort": "none"},
        },
    }


def _target(number: int, series: Series, scope: Scope) -> dict[str, Any]:
    return {
        "refId": "ABCDEFGH"[number],
        "datasource": _DATA_SOURCE,
        "expr": scoped(series.expression, scope),
        "legendFormat": series.name or f"{{{{{series.by}}}}}",
        "range": True,
    }


def _field(panel: Panel) -> dict[str, Any]:
    is_stacked = panel.kind == "stacked"
    return {
        "unit": _UNITS[panel.unit],
        "min": 0,
        "noValue": "no data",
        "custom": {
            "drawStyle": "line",
            "fillOpacity": 30 if is_stacked else 0,
            "spanNulls": False,
            "stacking": {"mode": "normal" if is_stacked else "none", "group": "A"},
        },
    }


def _data_source() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
    }


def _namespace() -> dict[str, Any]:
    return {
        "name": "namespace",
        "label": "Namespace",
        "type": "query",
        "datasource": _DATA_SOURCE,
        "query": "label_values(web_build_info, namespace)",
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _price() -> dict[str, Any]:
    return {
        "name": "price",
        "label": "Price of a node for an hour",
        "type": "textbox",
        "query": "0",
        "current": {"text": "0", "value": "0"},
    }
