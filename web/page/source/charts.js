// Charts as SVG: bars and lines over time, each with a legend and a table behind it.

import { highestOf, linePath, roundTicks, timeTicks } from "./scales.js";

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";
const CHART_MARGIN = { top: 10, right: 14, bottom: 22, left: 64 };
const CHART_HEIGHT = 190;
const LINE_DASHES = ["", "7 4", "2 4", "12 4 2 4"];
const CHART_WIDE_ENOUGH = 480;

/**
 * @typedef {object} ChartData
 * @property {number} minutes what the time axis covers, up to now
 * @property {{start: Date, values: (number|null)[]}[]} rows the oldest first
 * @property {string[]} totals one for each series, beside its name
 * @property {string} summary in a sentence, for those who do not see it
 */

/**
 * An element with attributes and children; text becomes text.
 * @param {string} name
 * @param {Record<string, string|number>} [attributes]
 * @param {...(Node|string)} children
 */
export function makeElement(name, attributes = {}, ...children) {
  return filledElement(document.createElement(name), attributes, children);
}

function makeSvg(name, attributes = {}, ...children) {
  return filledElement(document.createElementNS(SVG_NAMESPACE, name), attributes, children);
}

function filledElement(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, String(value));
  }
  made.append(...children);
  return made;
}

/** A card with a chart of some series over time. */
export class Chart {
  /**
   * @param {object} options
   * @param {string} options.title
   * @param {string[]} options.series their names, at most four
   * @param {"bars"|"lines"} options.kind
   * @param {(value: number) => string} options.format how a value is said
   * @param {boolean} options.isWhole whether values are counts
   * @param {string} options.empty what is said when there is nothing to draw
   */
  constructor(options) {
    this.options = options;
    this.data = null;
    this.titleElement = makeElement("h2", {}, options.title);
    this.svg = makeSvg("svg", { class: "chart", role: "img", height: CHART_HEIGHT });
    this.totals = options.series.map(() => makeElement("span", { class: "legend-total" }));
    this.body = makeElement("tbody");
    this.details = this.makeTable();
    this.card = makeElement("section", { class: "card" }, this.titleElement, this.svg);
    this.card.append(this.makeLegend(), this.details);
  }

  /** @param {ChartData} data */
  show(data) {
    this.data = data;
    data.totals.forEach((total, index) => {
      this.totals[index].textContent = total;
    });
    this.draw();
    this.fillTable();
  }

  /** Again, for the width that there is. */
  draw() {
    if (!this.data) {
      return;
    }
    const { rows, minutes, summary } = this.data;
    const { kind, isWhole, empty } = this.options;
    const values = rows.map((row) => row.values);
    const isEmpty = values.every((row) => row.every((value) => !value));
    const width = Math.max(this.svg.clientWidth, 200);
    const ticks = roundTicks(highestOf(values, kind === "bars"), isWhole);
    const top = ticks.at(-1);
    const across = width - CHART_MARGIN.left - CHART_MARGIN.right;
    const down = CHART_HEIGHT - CHART_MARGIN.top - CHART_MARGIN.bottom;
    const scale = {
      width,
      x: (share) => CHART_MARGIN.left + share * across,
      y: (value) => CHART_MARGIN.top + (1 - value / top) * down,
    };
    const said = isEmpty ? empty : summary;
    this.svg.setAttribute("aria-label", `${this.titleElement.textContent}: ${said}`);
    this.svg.replaceChildren(
      barHatching(),
      ...chartValueAxis(ticks, scale, this.options.format),
      ...chartTimeAxis(minutes, scale),
      ...(kind === "bars" ? chartBars(values, scale) : chartLines(values, scale)),
    );
    if (isEmpty) {
      const place = { class: "chart-empty", x: scale.x(0.5), y: CHART_HEIGHT / 2 };
      this.svg.append(makeSvg("text", place, empty));
    }
  }

  makeLegend() {
    const { series, kind } = this.options;
    const entries = series.map((name, index) => {
      const swatch = makeSvg("svg", { class: "swatch", "aria-hidden": "true" });
      swatch.append(kind === "bars" ? chartBar(index, 2, 1, 20, 10) : chartLine(index, "M0 6H26"));
      return makeElement("li", {}, swatch, ` ${name} `, this.totals[index]);
    });
    return makeElement("ul", { class: "legend" }, ...entries);
  }

  makeTable() {
    const heads = ["Time", ...this.options.series].map((name) =>
      makeElement("th", { scope: "col" }, name),
    );
    const head = makeElement("thead", {}, makeElement("tr", {}, ...heads));
    const label = `${this.options.title}, as a table`;
    const wrap = makeElement("div", {
      class: "table-wrap tall",
      tabindex: 0,
      role: "region",
      "aria-label": label,
    });
    wrap.append(makeElement("table", {}, head, this.body));
    const details = makeElement("details", {}, makeElement("summary", {}, "As a table"), wrap);
    details.addEventListener("toggle", () => this.fillTable());
    return details;
  }

  /** The newest first. Only while somebody looks: it has many cells. */
  fillTable() {
    if (!this.details.open || !this.data) {
      return;
    }
    const { format } = this.options;
    const rows = this.data.rows.toReversed?.() ?? [...this.data.rows].reverse();
    const made = rows.map(({ start, values }) =>
      makeElement(
        "tr",
        {},
        makeElement("th", { scope: "row" }, start.toLocaleTimeString()),
        ...values.map((value) => makeElement("td", {}, value === null ? "–" : format(value))),
      ),
    );
    this.body.replaceChildren(...made);
  }
}

/** So that the series of bars differ by more than their colours. */
function barHatching() {
  const made = [1, 2].map((index) => {
    const size = { width: 6, height: 6, patternUnits: "userSpaceOnUse" };
    const turned = { patternTransform: `rotate(${index === 1 ? 45 : -45})` };
    const ground = makeSvg("rect", { class: `fill-${index}`, width: 6, height: 6 });
    const stripe = makeSvg("rect", { class: "stripe", width: index * 1.5, height: 6 });
    return makeSvg("pattern", { id: `hatch-${index}`, ...size, ...turned }, ground, stripe);
  });
  return makeSvg("defs", {}, ...made);
}

function chartValueAxis(ticks, scale, format) {
  return ticks.flatMap((tick) => {
    const y = Math.round(scale.y(tick)) + 0.5;
    return [
      makeSvg("line", { class: "gridline", x1: scale.x(0), x2: scale.x(1), y1: y, y2: y }),
      makeSvg("text", { class: "value-label", x: CHART_MARGIN.left - 6, y: y + 4 }, format(tick)),
    ];
  });
}

function chartTimeAxis(minutes, scale) {
  const every = timeTicks(minutes);
  const ticks = scale.width < CHART_WIDE_ENOUGH ? [every[0], every.at(-1)] : every;
  return ticks.map(({ at, text }) => {
    const edge = at === 0 ? " first" : at === 1 ? " last" : "";
    const place = { class: `time-label${edge}`, x: scale.x(at), y: CHART_HEIGHT - 5 };
    return makeSvg("text", place, text);
  });
}

function chartBars(rows, scale) {
  const step = scale.x(1 / rows.length) - scale.x(0);
  const gap = step > 5 ? 1 : 0;
  return rows.flatMap((row, place) => {
    let below = 0;
    return row.map((value, index) => {
      const from = scale.y(below);
      below += value ?? 0;
      const height = from - scale.y(below);
      const x = scale.x(place / rows.length);
      return chartBar(index, x, scale.y(below), Math.max(step - gap, 1), height);
    });
  });
}

function chartBar(index, x, y, width, height) {
  const look = index ? { fill: `url(#hatch-${index})` } : { class: "fill-0" };
  return makeSvg("rect", { x, y, width, height, ...look });
}

function chartLines(rows, scale) {
  const count = rows[0]?.length ?? 0;
  return Array.from({ length: count }, (_, index) => {
    const values = rows.map((row) => row[index]);
    const x = (place) => scale.x((place + 0.5) / rows.length);
    return chartLine(index, linePath(values, x, scale.y));
  }).reverse();
}

function chartLine(index, path) {
  const dash = LINE_DASHES[index] ? { "stroke-dasharray": LINE_DASHES[index] } : {};
  return makeSvg("path", { class: `line line-${index}`, d: path, ...dash });
}
