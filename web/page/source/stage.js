// The jobs as they are seen, the newest first, and how far they are in the tab's title.

import { announce } from "./announce.js";
import { JobCard } from "./job-card.js";
import { isOver } from "./job-view.js";
import { jobFraction, jobNews } from "./job-words.js";

const TICK_MS = 500; // the time left goes on between two answers
const CARD_EVENTS = ["stop", "retry", "dismiss", "open"];

/** Events "stop", "retry" and "dismiss", whose detail is a job's id; "open", a picture's key. */
export class Stage extends EventTarget {
  #root = document.getElementById("jobs");
  #empty = document.getElementById("stage-empty");
  #title = document.title;
  #cards = new Map();
  #news = new Map();
  #views = [];
  #capabilities = null;
  #ticking = 0;
  #isReadyUnseen = false;

  constructor() {
    super();
    document.addEventListener("visibilitychange", () => {
      this.#isReadyUnseen = false;
      this.#showTitle(Date.now());
    });
  }

  setCapabilities(capabilities) {
    this.#capabilities = capabilities;
    this.show(this.#views);
  }

  /** @param {JobView[]} views newest first */
  show(views) {
    const now = Date.now();
    this.#views = views;
    const next = this.#next();
    this.#removeOthers(new Set(views.map(({ id }) => id)));
    views.forEach((view, place) => {
      const card = this.#cardOf(view);
      card.update(view, this.#capabilities, now, view === next);
      if (this.#root.children[place] !== card.element) {
        this.#root.insertBefore(card.element, this.#root.children[place] ?? null);
      }
      this.#tellNews(view, now);
    });
    this.#empty.hidden = views.length > 0;
    this.#showTitle(now);
    this.#tick(views.some((view) => !isOver(view)));
  }

  /** For narrow windows, where it is below the settings. */
  bringIntoView() {
    if (this.#root.getBoundingClientRect().top > window.innerHeight / 2) {
      this.#root.scrollIntoView({ block: "start" });
    }
  }

  #cardOf(view) {
    let card = this.#cards.get(view.id);
    if (!card) {
      card = new JobCard(view);
      this.#cards.set(view.id, card);
      for (const name of CARD_EVENTS) {
        card.addEventListener(name, ({ detail }) => {
          this.dispatchEvent(new CustomEvent(name, { detail: detail ?? view.id }));
        });
      }
    }
    return card;
  }

  #removeOthers(ids) {
    for (const [id, card] of this.#cards) {
      if (!ids.has(id)) {
        if (card.element.contains(document.activeElement)) {
          document.getElementById("prompt").focus();
        }
        card.element.remove();
        this.#cards.delete(id);
        this.#news.delete(id);
      }
    }
  }

  #tellNews(view, now) {
    const before = this.#news.get(view.id);
    const news = jobNews(before, view, this.#capabilities, now);
    this.#news.set(view.id, news);
    announce(news.text);
    if (document.hidden && view.phase === "done" && before && before.phase !== "done") {
      this.#isReadyUnseen = true;
    }
  }

  // The job that is drawn, or the one that will be.
  #next() {
    return this.#views.findLast((view) => !isOver(view));
  }

  #showTitle(now) {
    const next = this.#next();
    const fraction = next ? jobFraction(next, this.#capabilities, now) : null;
    const waits = next ? "Waiting" : "";
    const done = this.#isReadyUnseen ? "Ready" : "";
    const begin = fraction === null ? waits || done : `${Math.floor(fraction * 100)} %`;
    const title = begin ? `${begin} · ${this.#title}` : this.#title;
    if (document.title !== title) {
      document.title = title;
    }
  }

  #tick(isNeeded) {
    if (isNeeded && !this.#ticking) {
      this.#ticking = setInterval(() => this.show(this.#views), TICK_MS);
    } else if (!isNeeded && this.#ticking) {
      clearInterval(this.#ticking);
      this.#ticking = 0;
    }
  }
}
