// One picture of the history, large, with what made it and what can be done with it.

import { makeElement } from "./charts.js";
import { copyText } from "./clipboard.js";
import { fileName } from "./files.js";
import { showNote } from "./notes.js";
import { settingsOf } from "./records.js";
import { secondsInWords } from "./scales.js";
import { settingsToFragment } from "./settings.js";

export const VIEWER_GONE =
  "This picture is no longer in the history: another tab deleted it.";

/** Events "again", "same-seed", "delete" and "close", whose detail is the record. */
export class Viewer extends EventTarget {
  #dialog = document.getElementById("viewer");
  #picture = document.getElementById("viewer-picture");
  #note = document.getElementById("viewer-note");
  #history;
  #record = null;
  #url = "";

  /**
   * @param {object} history
   *   file: (key) => Promise<Blob|null>;
   *   neighbour: (key, distance) => record|undefined;
   *   placeInWords: (key) => string
   */
  constructor(history) {
    super();
    this.#history = history;
    this.#onClick("again", () => this.#leave("again"));
    this.#onClick("seed", () => this.#leave("same-seed"));
    this.#onClick("link", () => this.#copyLink());
    this.#onClick("delete", () => this.#emit("delete"));
    this.#onClick("newer", () => this.#move(-1));
    this.#onClick("older", () => this.#move(1));
    this.#onClick("close", () => this.close());
    this.#dialog.addEventListener("keydown", (event) => this.#onKey(event));
    this.#dialog.addEventListener("click", (event) => this.#closeOutside(event));
    this.#dialog.addEventListener("close", () => this.#afterClosing());
  }

  /** @returns {string} the key of the picture that is open, "" if none is */
  get key() {
    return this.#dialog.open ? this.#record.key : "";
  }

  /** @param {object} record */
  async show(record) {
    this.#record = record;
    this.#fill(record);
    if (!this.#dialog.open) {
      this.#dialog.showModal();
    }
    const blob = await this.#history.file(record.key);
    if (this.#record !== record) {
      return;
    }
    if (blob) {
      this.#setPicture(blob, record);
    } else {
      this.note(VIEWER_GONE, { isBad: true });
    }
  }

  close() {
    this.#dialog.close();
    this.#afterClosing(); // the event comes later than the next key may
  }

  /** As `showNote`. */
  note(text, options) {
    showNote(this.#note, text, options);
  }

  /** What stands beside the picture changed: there are others, or it has another place. */
  refresh() {
    for (const [name, distance] of [["newer", -1], ["older", 1]]) {
      const isThere = this.#history.neighbour(this.#record.key, distance) !== undefined;
      this.#button(name).disabled = !isThere;
    }
    if (this.#dialog.open && !this.#dialog.contains(document.activeElement)) {
      this.#button("close").focus(); // of a button that is disabled the focus is lost
    }
  }

  #button(name) {
    return document.getElementById(`viewer-${name}`);
  }

  #onClick(name, act) {
    this.#button(name).addEventListener("click", act);
  }

  #fill(record) {
    this.#forgetPicture();
    this.#picture.alt = record.prompt || "A picture without prompt";
    this.#picture.width = record.width;
    this.#picture.height = record.height;
    this.#button("prompt").textContent = record.prompt || "(no prompt)";
    const entries = recordFacts(record).flatMap(([name, value]) => [
      makeElement("dt", {}, name),
      makeElement("dd", {}, value),
    ]);
    this.#button("facts").replaceChildren(...entries);
    this.note(this.#history.placeInWords(record.key));
    this.refresh();
  }

  #setPicture(blob, record) {
    this.#forgetPicture();
    this.#url = URL.createObjectURL(blob);
    this.#picture.src = this.#url;
    this.#button("download").href = this.#url;
    this.#button("download").download = fileName(record);
  }

  #forgetPicture() {
    this.#picture.removeAttribute("src");
    this.#button("download").removeAttribute("href");
    URL.revokeObjectURL(this.#url);
  }

  #move(distance) {
    const record = this.#history.neighbour(this.#record.key, distance);
    if (record) {
      this.show(record);
    }
  }

  #leave(name) {
    const record = this.#record;
    this.close();
    this.dispatchEvent(new CustomEvent(name, { detail: record }));
  }

  #emit(name) {
    this.dispatchEvent(new CustomEvent(name, { detail: this.#record }));
  }

  async #copyLink() {
    const page = location.href.split("#")[0];
    const link = `${page}${settingsToFragment(settingsOf(this.#record))}`;
    const isCopied = await copyText(link);
    this.note(isCopied ? "The link is copied." : `Copy this link: ${link}`);
  }

  #onKey(event) {
    if (event.key === "Escape") {
      event.stopPropagation(); // it closes the dialog, and stops no drawing
      event.preventDefault();
      this.close();
      return;
    }
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.altKey || event.ctrlKey || event.metaKey || (!move && event.key !== "Delete")) {
      return;
    }
    event.preventDefault();
    move ? this.#move(move) : this.#emit("delete");
  }

  #closeOutside(event) {
    const { left, right, top, bottom } = this.#dialog.getBoundingClientRect();
    const { clientX: x, clientY: y, target } = event;
    if (target === this.#dialog && (x < left || x > right || y < top || y > bottom)) {
      this.close();
    }
  }

  #afterClosing() {
    if (this.#dialog.open || !this.#record) {
      return; // another picture was opened meanwhile, or this was done
    }
    this.#forgetPicture();
    const record = this.#record;
    this.#record = null;
    this.dispatchEvent(new CustomEvent("close", { detail: record }));
  }
}

function recordFacts(record) {
  const facts = [
    ["Not in it", record.negativePrompt],
    ["Seed", String(record.seed)],
    ["Steps", String(record.steps)],
    ["Guidance", String(record.guidanceScale)],
    ["Size", `${record.width} × ${record.height}, ${fileSizeInWords(record.bytes)}`],
    ["Drawn", new Date(record.created).toLocaleString()],
    ["Took", secondsInWords(record.seconds)],
    ["Model", record.fingerprint],
    ["Notes", record.notes.join("; ")],
  ];
  return facts.filter(([, value]) => value);
}

function fileSizeInWords(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
