"""What a dashboard consists of: sections, their panels, and the series that a panel shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dashboards.metrics import MODES, Mode

Unit = Literal["", "s", "%"]
Kind = Literal["lines", "stacked"]
Total = Literal["sum", "percentile", "most"]

PRICE = "$price"
"""Stands for what a node costs an hour."""


@dataclass(frozen=True)
class Series:
    """name: what the legend says; empty for the value of the label `by`. figure: where the same
    number stands in a bucket of /api/v1/figures, for the page's charts."""

    expression: str
    name: str = ""
    by: str = ""
    figure: str = ""


@dataclass(frozen=True)
class OnPage:
    """A chart of the page. empty: what it says without values. total: of what is shown, beside the
    name of each series."""

    empty: str
    total: Total


@dataclass(frozen=True)
class Panel:
    """One chart. modes: the ways to serve that have it. page: for those that the page has, too, by
    the figures of its series."""

    title: str
    series: tuple[Series, ...]
    unit: Unit = ""
    kind: Kind = "lines"
    modes: tuple[Mode, ...] = MODES
    page: OnPage | None = None

    @property
    def has_price(self) -> bool:
        return any(PRICE in each.expression for each in self.series)


@dataclass(frozen=True)
class Section:
    """Panels under one heading, with a line on how to read them."""

    title: str
    note: str
    panels: tuple[Panel, ...]
