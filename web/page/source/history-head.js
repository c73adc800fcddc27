// The line above the history: how many there are, the search, what is done with all of them.

import { announce } from "./announce.js";
import { showNote } from "./notes.js";

const HISTORY_EMPTY = "Pictures that you draw are kept here, in this browser alone.";
const NOTHING_FOUND = "No picture has all these words in its prompt or its seed.";

/** Events "search", "download" and "delete": of those that the search found. */
export class HistoryHead extends EventTarget {
  #count = document.getElementById("history-count");
  #search = document.getElementById("search");
  #download = document.getElementById("download-all");
  #delete = document.getElementById("delete-all");
  #note = document.getElementById("history-note");
  #message = null; // until something else happens
  #standing = "";

  constructor() {
    super();
    this.#search.addEventListener("input", () => {
      this.say("");
      this.#emit("search");
    });
    this.#download.addEventListener("click", () => this.#emit("download"));
    this.#delete.addEventListener("click", () => this.#emit("delete"));
  }

  /** @returns {string} what is searched for */
  get words() {
    return this.#search.value;
  }

  /** The focus is then in the empty field. */
  clearSearch() {
    this.#search.value = "";
    this.#search.focus();
    this.#emit("search");
  }

  /**
   * @param {number} total pictures
   * @param {number} shown those that the search found
   * @param {string} problem of the storage, as a sentence
   */
  show(total, shown, problem) {
    const isPart = shown < total;
    this.#count.textContent = isPart ? `${shown} of ${total}` : String(total || "");
    this.#download.textContent = `Download ${isPart ? shown : "all"}`;
    this.#delete.textContent = `Delete ${isPart ? shown : "all"}`;
    this.#download.disabled = this.#delete.disabled = shown === 0;
    this.#standing = isPart && shown === 0 ? NOTHING_FOUND : problem;
    if (total === 0 && !problem) {
      this.#standing = HISTORY_EMPTY;
    }
    this.#showNote();
  }

  /**
   * What just happened, until something else does.
   * @param {string} text "" ends it
   * @param {object} [options] as of `showNote`
   */
  say(text, options) {
    this.#message = text ? { text, options } : null;
    announce(text);
    this.#showNote();
  }

  /** As `say`, of what takes a while: shown, and not read out each time. */
  tellProgress(text) {
    this.#download.disabled = true;
    showNote(this.#note, text);
  }

  /** To the button in the note, if there is one. */
  focusAction() {
    this.#note.querySelector("button")?.focus();
  }

  #showNote() {
    const { text, options } = this.#message ?? { text: this.#standing };
    showNote(this.#note, text, options);
  }

  #emit(name) {
    this.dispatchEvent(new Event(name));
  }
}
