// One job on the stage.

import { makeElement } from "./charts.js";
import { jobFraction, jobStatus } from "./job-words.js";
import { isOver } from "./job-view.js";

const WAITING_PHASES = ["sending", "queued", "drawing", "lost"];

/** Events "stop", "retry", "dismiss", and "open", whose detail is a picture's key. */
export class JobCard extends EventTarget {
  #pictures = makeElement("div", { class: "job-pictures" });
  #progress = makeElement("progress", { max: 1, "aria-label": "How far it is" });
  #status = makeElement("span");
  #notes = makeElement("ul", { class: "job-notes" });
  #error = makeElement("p", { class: "job-error" });
  #stop = this.#button("stop", "Stop");
  #retry = this.#button("retry", "Try again");
  #dismiss = this.#button("dismiss", "Close");
  #shownNotes = "";
  #tiles = [];

  /** @param {JobView} view */
  constructor(view) {
    super();
    const { prompt } = view.settings;
    const facts = makeElement("div", { class: "job-facts" }, this.#status);
    this.element = makeElement(
      "article",
      { class: "job", "aria-label": prompt },
      makeElement(
        "div",
        { class: "job-head" },
        makeElement("p", { class: "job-prompt" }, prompt),
        this.#retry,
        this.#stop,
        this.#dismiss,
      ),
      this.#pictures,
      this.#progress,
      this.#error,
      facts,
      this.#notes,
    );
    this.#tiles = Array.from({ length: view.settings.count ?? 1 }, () => this.#tile(prompt));
    this.#pictures.append(...this.#tiles.map(({ element }) => element));
  }

  /**
   * Changes only what differs: what has the focus keeps it.
   * @param {JobView} view
   * @param {object|null} capabilities
   * @param {number} now
   * @param {boolean} isNext whether its picture is the next one: others need no room for theirs
   */
  update(view, capabilities, now, isNext) {
    const isAtEnd = isOver(view);
    this.element.dataset.phase = view.phase;
    this.#tiles.forEach((tile, number) => tile.show(...tileContent(view, number, isNext)));
    this.#pictures.hidden = this.#tiles.every(({ element }) => element.hidden);
    this.#showProgress(isAtEnd ? undefined : jobFraction(view, capabilities, now));
    setText(this.#status, jobStatus(view, capabilities, now));
    setText(this.#error, view.error);
    this.#showNotes(view.document?.notes ?? []);
    const hadFocus = this.#stop === document.activeElement;
    this.#stop.hidden = isAtEnd;
    this.#stop.disabled = view.isStopping;
    this.#retry.hidden = !["failed", "stopped"].includes(view.phase);
    this.#dismiss.hidden = !isAtEnd;
    if (hadFocus && isAtEnd) {
      (this.#retry.hidden ? this.#dismiss : this.#retry).focus();
    }
  }

  #button(event, label) {
    const button = makeElement("button", { type: "button" }, label);
    button.addEventListener("click", () => this.dispatchEvent(new Event(event)));
    return button;
  }

  #tile(prompt) {
    const image = makeElement("img", { alt: "" });
    const element = makeElement("button", { type: "button", class: "job-picture" }, image);
    let key = "";
    element.addEventListener("click", () => {
      this.dispatchEvent(new CustomEvent("open", { detail: key }));
    });
    const show = (kind, url = "", pictureKey = "") => {
      key = pictureKey;
      element.hidden = kind === "none";
      element.disabled = kind !== "picture";
      element.classList.toggle("preview", kind === "preview");
      element.classList.toggle("waiting", kind === "waiting");
      image.hidden = !url;
      image.alt = kind === "preview" ? `Preview: ${prompt}` : prompt;
      if (url && image.getAttribute("src") !== url) {
        image.src = url;
      }
    };
    return { element, show };
  }

  #showProgress(fraction) {
    this.#progress.hidden = fraction === undefined;
    if (fraction === null) {
      this.#progress.removeAttribute("value");
    } else if (fraction !== undefined) {
      this.#progress.value = fraction;
    }
  }

  #showNotes(notes) {
    const joined = notes.join("\n");
    if (joined !== this.#shownNotes) {
      this.#shownNotes = joined;
      this.#notes.replaceChildren(...notes.map((note) => makeElement("li", {}, note)));
    }
    this.#notes.hidden = notes.length === 0;
  }
}

function tileContent({ pictures, previewUrl, phase }, number, isNext) {
  const picture = pictures[number];
  if (picture) {
    return ["picture", picture.url, picture.record.key];
  }
  if (previewUrl && number === pictures.length) {
    return ["preview", previewUrl];
  }
  return [isNext && WAITING_PHASES.includes(phase) ? "waiting" : "none"];
}

function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
  element.hidden = text === "";
}
