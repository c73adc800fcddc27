// Settings out of pictures that are dropped or chosen, and out of a pasted text.

import { parseInfotext } from "./infotext.js";
import { settingsOfPicture } from "./restore.js";

/**
 * Events "settings", whose detail is {settings, notes, fingerprint} as `settingsOfPicture` answers,
 * and "problem", whose detail is a sentence.
 */
export class Restoring extends EventTarget {
  #drop = document.getElementById("drop");
  #hiding = 0;

  constructor() {
    super();
    const file = document.getElementById("restore-file");
    document.getElementById("restore").addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      this.#take(file.files);
      file.value = "";
    });
    document.getElementById("prompt").addEventListener("paste", (event) => this.#onPaste(event));
    globalThis.addEventListener("dragover", (event) => this.#onDrag(event));
    globalThis.addEventListener("drop", (event) => this.#onDrop(event));
  }

  // While something hovers, this comes again and again: its end is that it stays away.
  #onDrag(event) {
    if (event.dataTransfer?.types.includes("Files") && !document.querySelector("dialog[open]")) {
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
      this.#drop.hidden = false;
      clearTimeout(this.#hiding);
      this.#hiding = setTimeout(() => (this.#drop.hidden = true), 500);
    }
  }

  #onDrop(event) {
    this.#drop.hidden = true;
    if (event.dataTransfer?.files.length) {
      event.preventDefault();
      this.#take(event.dataTransfer.files);
    }
  }

  #onPaste(event) {
    const [file] = event.clipboardData?.files ?? [];
    const text = event.clipboardData?.getData("text/plain") ?? "";
    const infotext = parseInfotext(text);
    if (file && !text) {
      event.preventDefault();
      this.#take([file]);
    } else if (infotext) {
      event.preventDefault();
      this.#tell("settings", { ...infotext, fingerprint: "" });
    }
  }

  async #take([file]) {
    try {
      this.#tell("settings", await settingsOfPicture(file));
    } catch (error) {
      this.#tell("problem", error.message);
    }
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
