"""Where the headings and charts of a dashboard stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dashboards.panel import Panel, Section

PANELS_IN_A_ROW = 3


@dataclass(frozen=True)
class Placed:
    """column: 0 to 2; a heading has the whole row. row: counts rows of charts and of headings, of
    which `headings` come before this one."""

    what: Section | Panel
    column: int
    row: int
    headings: int


def placed(sections: Iterable[Section]) -> Iterator[Placed]:
    """From the top to the bottom."""
    row = 0
    for headings, section in enumerate(sections):
        yield Placed(section, 0, row, headings)
        for number, panel in enumerate(section.panels):
            column = number % PANELS_IN_A_ROW
            yield Placed(panel, column, row + number // PANELS_IN_A_ROW, headings + 1)
        row += -(-len(section.panels) // PANELS_IN_A_ROW)
