// The history: keeps pictures, shows, finds, downloads and deletes them.

import { Bin } from "./bin.js";
import { download, fileDay } from "./files.js";
import { HistoryHead } from "./history-head.js";
import { confirmInDialog } from "./notes.js";
import { packRecords, picturesInWords } from "./pack.js";
import { settingsOf } from "./records.js";
import { MemoryStore, newestFirst, StoreError } from "./store.js";
import { makeThumbnail } from "./thumbnail.js";
import { Thumbs } from "./thumbs.js";
import { Viewer, VIEWER_GONE } from "./viewer.js";

const DELETED = "The picture is deleted.";
const UNTIL_CLOSED = "The picture is here only until you close the page.";

/** Events "again" and "same-seed", whose detail are settings. */
export class Gallery extends EventTarget {
  #store;
  #unkept = new MemoryStore(""); // what the browser had no room for
  #head = new HistoryHead();
  #bin = new Bin();
  #deleting = new Set(); // by their keys
  #thumbs;
  #viewer;

  /** @param {Store|MemoryStore} store */
  constructor(store) {
    super();
    this.#store = store;
    this.#thumbs = new Thumbs(
      document.getElementById("pictures"),
      (record) => record.thumbnail ?? this.#file(record.key),
    );
    this.#viewer = new Viewer({
      file: (key) => this.#file(key),
      neighbour: (key, distance) => this.#thumbs.neighbour(key, distance),
      placeInWords: (key) => this.#placeInWords(key),
    });
    this.#listen();
  }

  /** Shows what is kept. */
  async load() {
    await this.#inWords(async () => {
      const kept = await this.#store.records();
      this.#thumbs.setAll(newestFirst([...kept, ...(await this.#unkept.records())]));
    });
    this.#refresh();
    if (this.#viewer.key && !this.#thumbs.find(this.#viewer.key)) {
      this.#viewer.note(VIEWER_GONE, { isBad: true });
    }
  }

  /**
   * Keeps a picture and shows it. The same key again is the same picture.
   * @param {object} record
   * @param {Blob} blob
   * @returns {Promise<boolean>} false if it is there only until the page is closed
   */
  async add(record, blob) {
    const { width, height } = record;
    const thumbnail = record.thumbnail ?? (await makeThumbnail(blob, width, height));
    const whole = { ...record, thumbnail };
    const isKept = await this.#inWords(() => this.#store.add(whole, blob), UNTIL_CLOSED);
    if (!isKept) {
      await this.#unkept.add(whole, blob);
    }
    const others = this.#thumbs.all.filter(({ key }) => key !== record.key);
    this.#thumbs.setAll(newestFirst([whole, ...others]));
    this.#refresh();
    return isKept;
  }

  /** @param {string} key of a picture that is to be shown large */
  open(key) {
    const record = this.#thumbs.find(key);
    if (record) {
      this.#viewer.show(record);
    }
  }

  #listen() {
    this.#thumbs.addEventListener("open", ({ detail }) => this.open(detail));
    this.#thumbs.addEventListener("delete", ({ detail }) => this.#delete(detail));
    this.#thumbs.addEventListener("undo", () => this.#undo());
    this.#viewer.addEventListener("again", ({ detail }) => {
      this.#emit("again", { ...settingsOf(detail), seed: null });
    });
    this.#viewer.addEventListener("same-seed", ({ detail }) => {
      this.#emit("same-seed", settingsOf(detail));
    });
    this.#viewer.addEventListener("delete", ({ detail }) => this.#deleteInViewer(detail.key));
    this.#viewer.addEventListener("close", ({ detail }) => this.#focusAfterViewer(detail.key));
    this.#store.addEventListener("change", () => this.load());
    this.#head.addEventListener("search", () => this.#refresh());
    this.#head.addEventListener("download", () => this.#downloadShown());
    this.#head.addEventListener("delete", () => this.#deleteShown());
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  async #file(key) {
    let blob = await this.#unkept.file(key);
    await this.#inWords(async () => (blob ??= await this.#store.file(key)));
    return blob;
  }

  // Whether it went well; if not, the history's note says why.
  async #inWords(act, more = "") {
    try {
      await act();
      return true;
    } catch (error) {
      if (!(error instanceof StoreError)) {
        throw error;
      }
      this.#head.say(`${error.message} ${more}`.trim(), { isBad: true });
      return false;
    }
  }

  #refresh() {
    this.#thumbs.search(this.#head.words);
    this.#head.show(this.#thumbs.all.length, this.#thumbs.shown.length, this.#store.problem);
    if (this.#viewer.key) {
      this.#viewer.refresh();
    }
  }

  #placeInWords(key) {
    const shown = this.#thumbs.shown;
    return `${shown.findIndex((record) => record.key === key) + 1} of ${shown.length}`;
  }

  async #delete(key) {
    const record = this.#thumbs.find(key);
    if (!record || this.#deleting.has(key)) {
      return;
    }
    this.#deleting.add(key);
    const blob = await this.#file(key);
    const putIn = blob && (await this.#bin.prepare(record, blob));
    if (await this.#remove([key])) {
      putIn?.();
      this.#head.say(DELETED, { action: this.#undoAction() });
      this.#focusUndo();
    }
    this.#deleting.delete(key);
  }

  async #deleteInViewer(key) {
    const next = this.#thumbs.neighbour(key, 1) ?? this.#thumbs.neighbour(key, -1);
    await this.#delete(key);
    if (!next) {
      this.#viewer.close();
    } else if (!this.#thumbs.find(key)) {
      this.#viewer.show(next);
      this.#viewer.note(DELETED, { action: this.#undoAction() });
    }
  }

  #undoAction() {
    return this.#bin.isEmpty ? undefined : { label: "Undo", act: () => this.#undo() };
  }

  async #undo() {
    const last = this.#bin.takeLast();
    if (!last) {
      return;
    }
    const { record, blob } = last;
    if (await this.add(record, blob)) {
      this.#head.say("The picture is back.", { action: this.#undoAction() });
    }
    if (this.#viewer.key) {
      await this.#viewer.show(record);
    } else {
      this.#thumbs.focus(record.key);
    }
  }

  async #remove(keys) {
    const isDone = await this.#inWords(() => this.#store.remove(keys));
    if (isDone) {
      await this.#unkept.remove(keys);
      this.#thumbs.remove(keys);
      this.#refresh();
    }
    return isDone;
  }

  async #deleteShown() {
    const keys = this.#thumbs.shown.map(({ key }) => key);
    const what = picturesInWords(keys.length);
    const question = `Delete ${what} from this browser? There is no way back.`;
    const isSure = await confirmInDialog(question, `Delete ${what}`);
    if (isSure && (await this.#remove(keys))) {
      this.#bin.clear();
      this.#head.clearSearch();
      this.#head.say(`Deleted: ${what}.`);
    }
  }

  async #downloadShown() {
    const records = this.#thumbs.shown;
    const tell = (text) => this.#head.tellProgress(text);
    try {
      const zip = await packRecords(records, (key) => this.#file(key), tell);
      download(zip, `${picturesInWords(records.length)} ${fileDay(Date.now())}.zip`);
      this.#head.say("");
    } catch (error) {
      this.#head.say(error.message, { isBad: true });
    }
    this.#refresh();
  }

  #focusAfterViewer(key) {
    if (this.#isFocusLost() || document.activeElement.closest("#pictures")) {
      this.#thumbs.focus(key);
      this.#focusUndo();
    }
  }

  // When what had the focus is gone, and nothing is beside it.
  #focusUndo() {
    if (this.#isFocusLost()) {
      this.#head.focusAction();
    }
  }

  // Or about to be: it is in the viewer, which is closed.
  #isFocusLost() {
    const focused = document.activeElement;
    return focused === document.body || (!this.#viewer.key && focused.closest("#viewer") !== null);
  }
}
