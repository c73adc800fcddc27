// The tab Service: what the service is, and what it did in the last minutes.

import { getJson } from "./api.js";
import { Chart, makeElement } from "./charts.js";
import { percentInWords, secondsInWords } from "./scales.js";
import { limitFacts, modelFacts, nowFacts, smallTable } from "./service-facts.js";

const FIGURES_PAUSE_MS = 5000;
const FIGURES_LIMIT_MS = 15_000;
const WINDOW_MINUTES = [5, 15, 60];
const ANSWER_CLASSES = ["2xx", "4xx", "5xx"];
const PERCENTILES = ["p50", "p90", "p95", "p99"];
const SPANS = [["waiting", "Waiting"], ["drawing", "Drawing"], ["whole", "Whole"]];

/** Asks the service every five seconds, but only while it is shown. */
export class ServiceTab {
  /** @param {HTMLElement} root where it goes */
  constructor(root) {
    this.root = root;
    this.note = document.getElementById("service-note");
    this.minutes = 15;
    this.isShown = false;
    this.isFilled = false;
    this.asking = null;
    this.timer = 0;
  }

  /** Begin to ask. */
  show() {
    if (this.isShown) {
      return;
    }
    this.isShown = true;
    this.build();
    this.charts.forEach((chart) => chart.draw());
    this.ask();
  }

  /** Ask no more. */
  hide() {
    this.isShown = false;
    clearTimeout(this.timer);
    this.asking?.abort();
  }

  async ask() {
    clearTimeout(this.timer);
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    try {
      const answers = await Promise.all(
        ["status", "capabilities", `figures?minutes=${this.minutes}`].map((path) =>
          getJson(`/api/v1/${path}`, asking.signal, FIGURES_LIMIT_MS),
        ),
      );
      if (!asking.signal.aborted) {
        this.fill(...answers);
        this.isFilled = true;
        this.say("");
      }
    } catch (error) {
      if (!asking.signal.aborted) {
        this.say(`${error.message}${this.isFilled ? " What you see here is from before." : ""}`);
      }
    }
    if (this.isShown && this.asking === asking) {
      this.timer = setTimeout(() => this.ask(), FIGURES_PAUSE_MS);
    }
  }

  say(text) {
    this.note.textContent = text;
    this.note.hidden = !text;
    this.note.classList.toggle("bad", Boolean(text));
  }

  /** Once: later answers only change what is in it, so that nothing jumps and focus stays. */
  build() {
    if (this.charts) {
      return;
    }
    this.cards = {};
    const facts = [["now", "At present"], ["model", "Model"], ["limits", "What it takes"]];
    const spans = this.makeCard("spans", "Durations");
    this.charts = makeFigureCharts();
    this.root.replaceChildren(
      makeElement("div", { class: "cards" }, ...facts.map((fact) => this.makeCard(...fact))),
      this.makeWindowChoice(),
      makeElement("div", { class: "cards wide" }, ...this.charts.map(({ card }) => card), spans),
    );
    new ResizeObserver(() => this.charts.forEach((chart) => chart.draw())).observe(this.root);
  }

  makeCard(name, title) {
    this.cards[name] = makeElement("div", { class: "card-body" });
    const words = makeElement("p", { class: "hint" }, "Asking the service …");
    this.cards[name].append(words);
    const head = makeElement("h2", {}, title);
    return makeElement("section", { class: "card" }, head, this.cards[name]);
  }

  makeWindowChoice() {
    const buttons = WINDOW_MINUTES.map((minutes) => {
      const isPressed = minutes === this.minutes;
      const button = makeElement("button", { type: "button", "aria-pressed": isPressed });
      button.append(`${minutes} min`);
      button.addEventListener("click", () => {
        this.minutes = minutes;
        buttons.forEach((each) => each.setAttribute("aria-pressed", String(each === button)));
        this.ask();
      });
      return button;
    });
    this.sums = makeElement("p", { class: "hint" });
    const choice = makeElement("div", { role: "group", "aria-label": "How far back" }, ...buttons);
    return makeElement("div", { class: "window-choice" }, choice, this.sums);
  }

  fill(status, capabilities, figures) {
    refillCard(this.cards.now, nowFacts(status));
    refillCard(this.cards.model, modelFacts(capabilities));
    refillCard(this.cards.limits, limitFacts(capabilities));
    refillCard(this.cards.spans, spanTable(figures.window));
    this.sums.textContent = sumsInWords(figures);
    for (const chart of this.charts) {
      chart.show(chartData(figures, chart.options));
    }
  }
}

/** Changes only what differs, and keeps what scrolls: it may have the focus. */
function refillCard(card, made) {
  const shown = [...card.children];
  const isAlike = (each, index) => each.tagName === shown[index].tagName;
  if (made.length !== shown.length || !made.every(isAlike)) {
    card.replaceChildren(...made);
    return;
  }
  made.forEach((each, index) => {
    if (!each.isEqualNode(shown[index])) {
      shown[index].replaceChildren(...each.childNodes);
    }
  });
}

function makeFigureCharts() {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  return charts.map((options) => {
    const format = options.isWhole ? String : secondsInWords;
    return new Chart({ ...options, format });
  });
}

/** What stands there in a bucket, such as `requests.2xx`. */
function figureAt(bucket, figure) {
  return figure.split(".").reduce((found, key) => found?.[key], bucket) ?? null;
}

const TOTALS = {
  sum: (figures, figure) => String(sumOf(figures, (bucket) => figureAt(bucket, figure))),
  percentile: ({ window }, figure) => secondsInWords(window.whole?.[figure.split(".")[1]]),
  most: ({ buckets }, figure) =>
    `at most ${Math.max(...buckets.map((bucket) => figureAt(bucket, figure)))}`,
};

function sumOf(figures, value) {
  return figures.buckets.reduce((sum, bucket) => sum + value(bucket), 0);
}

function chartData(figures, { series, figures: places, total }) {
  const totals = places.map((figure) => TOTALS[total](figures, figure));
  const period = `in the last ${figures.minutes} minutes, in steps of ${figures.bucketSeconds} s`;
  const parts = series.map((name, index) => `${name} ${totals[index]}`).join(", ");
  return {
    minutes: figures.minutes,
    rows: figures.buckets.map((bucket) => ({
      start: new Date(bucket.start),
      values: places.map((figure) => figureAt(bucket, figure)),
    })),
    totals,
    summary: `${period}: ${parts}.`,
  };
}

function sumsInWords(figures) {
  const requests = ANSWER_CLASSES.map((each) => sumOf(figures, (bucket) => bucket.requests[each]));
  const asked = requests.reduce((sum, each) => sum + each, 0);
  const done = sumOf(figures, ({ jobs }) => jobs.ok);
  const ended = sumOf(figures, ({ jobs: { cancelled, ...others } }) =>
    Object.values(others).reduce((sum, each) => sum + each, 0),
  );
  const pictures = sumOf(figures, (bucket) => bucket.pictures);
  if (!asked && !ended) {
    return "Nobody asked for pictures in this time.";
  }
  return (
    `${percentInWords(requests[0], asked)} of ${asked} requests answered · ` +
    `${percentInWords(done, ended)} of ${ended} jobs done, stopped ones aside · ` +
    `${pictures} ${pictures === 1 ? "picture" : "pictures"}`
  );
}

function spanTable(spans) {
  const count = spans.whole?.count ?? 0;
  if (!count) {
    return [makeElement("p", { class: "hint" }, "No job ended in this time.")];
  }
  const rows = SPANS.map(([name, word]) =>
    makeElement(
      "tr",
      {},
      makeElement("th", { scope: "row" }, word),
      ...PERCENTILES.map((each) => makeElement("td", {}, secondsInWords(spans[name]?.[each]))),
    ),
  );
  const jobs = count === 1 ? "the one job that ended" : `${count} jobs that ended`;
  const words = `Of ${jobs}: half took no longer than p50, 99 in 100 no longer than p99.`;
  return [
    smallTable("Durations", ["Span", ...PERCENTILES], rows),
    makeElement("p", { class: "hint" }, words),
  ];
}
