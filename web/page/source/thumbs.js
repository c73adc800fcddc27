// The history's list of small pictures: which are shown, loaded and focused.

import { makeElement } from "./charts.js";

const NEAR_VIEWPORT = "600px 0px";

/**
 * Events "open" and "delete" (detail: the record's key) and "undo". One stop for the Tab key; the
 * arrow keys move inside.
 */
export class Thumbs extends EventTarget {
  #list;
  #thumbnail;
  #items = new Map(); // in the order of the list
  #words = [];
  #current = "";
  #observer = new IntersectionObserver((entries) => this.#loadOrForget(entries), {
    rootMargin: NEAR_VIEWPORT,
  });

  /**
   * @param {HTMLElement} list
   * @param {(record: object) => Promise<Blob|null>} thumbnail
   */
  constructor(list, thumbnail) {
    super();
    this.#list = list;
    this.#thumbnail = thumbnail;
    list.addEventListener("click", (event) => this.#emit("open", itemKey(event.target)));
    list.addEventListener("keydown", (event) => this.#onKey(event));
    list.addEventListener("focusin", (event) => this.#makeCurrent(itemKey(event.target)));
  }

  /** @returns {object[]} the records, in the list's order */
  get all() {
    return [...this.#items.values()].map(({ record }) => record);
  }

  /** @returns {object[]} the records that the search found, in the list's order */
  get shown() {
    return [...this.#items.values()].filter(({ isFound }) => isFound).map(({ record }) => record);
  }

  /** @returns {object|undefined} the record of a key */
  find(key) {
    return this.#items.get(key)?.record;
  }

  /** @param {object[]} records all that there are, in the list's order */
  setAll(records) {
    const keys = new Set(records.map(({ key }) => key));
    this.remove([...this.#items.keys()].filter((key) => !keys.has(key)));
    const known = this.#items;
    this.#items = new Map(records.map((record) => [record.key, known.get(record.key)]));
    for (const record of records) {
      if (!known.has(record.key)) {
        this.#items.set(record.key, this.#makeItem(record));
      }
    }
    this.#order();
    this.#keepStop();
  }

  /** The focus goes to the neighbour of what had it. */
  remove(keys) {
    const gone = new Set(keys);
    const hasFocus = gone.has(itemKey(document.activeElement));
    const next = this.#neighbourOutside(gone);
    for (const key of gone) {
      const item = this.#items.get(key);
      if (item) {
        this.#forget(item);
        this.#observer.unobserve(item.element);
        item.element.remove();
        this.#items.delete(key);
      }
    }
    this.#makeCurrent(next);
    if (hasFocus && next) {
      this.focus(next);
    }
  }

  /** Shows those whose text has all the words. */
  search(text) {
    const words = searchable(text).split(/\s+/u).filter(Boolean);
    if (words.join(" ") === this.#words.join(" ")) {
      return;
    }
    this.#words = words;
    for (const item of this.#items.values()) {
      this.#match(item);
    }
    this.#keepStop();
  }

  focus(key) {
    this.#items.get(key)?.element.firstChild.focus();
  }

  /** @returns {object|undefined} the record that is shown so far before or after another */
  neighbour(key, distance) {
    const shown = this.shown;
    return shown[shown.findIndex((record) => record.key === key) + distance];
  }

  // What stands right stays in the document, and keeps the focus.
  #order() {
    let next = this.#list.firstChild;
    for (const { element } of this.#items.values()) {
      if (element === next) {
        next = next.nextSibling;
      } else {
        this.#list.insertBefore(element, next);
      }
    }
  }

  #makeItem(record) {
    const image = makeElement("img", { alt: record.prompt || "A picture without prompt" });
    const button = makeElement("button", { type: "button", class: "thumb", tabindex: -1 }, image);
    const element = makeElement("li", {}, button);
    element.dataset.key = record.key;
    const text = `${record.prompt}\n${record.negativePrompt}\n${record.seed}`;
    const item = { record, element, image, text: searchable(text), isFound: true, url: "" };
    this.#match(item);
    this.#observer.observe(element);
    return item;
  }

  #match(item) {
    const isFound = this.#words.every((word) => item.text.includes(word));
    if (isFound !== item.isFound) {
      item.isFound = isFound;
      item.element.hidden = !isFound;
    }
  }

  #loadOrForget(entries) {
    for (const { target, isIntersecting } of entries) {
      const item = this.#items.get(target.dataset.key);
      if (item?.element === target) {
        isIntersecting ? this.#load(item) : this.#forget(item);
      }
    }
  }

  async #load(item) {
    item.isWanted = true;
    const blob = await this.#thumbnail(item.record);
    if (blob && item.isWanted && !item.url) {
      item.url = URL.createObjectURL(blob);
      item.image.src = item.url;
    }
  }

  #forget(item) {
    item.isWanted = false;
    if (item.url) {
      item.image.removeAttribute("src");
      URL.revokeObjectURL(item.url);
      item.url = "";
    }
  }

  #neighbourOutside(gone) {
    const keys = this.shown.map(({ key }) => key);
    const start = keys.indexOf(this.#current);
    const isLeft = (key) => !gone.has(key);
    return keys.slice(Math.max(start, 0)).find(isLeft) ?? keys.slice(0, start).findLast(isLeft);
  }

  // The one that the Tab key reaches is among those that are shown.
  #keepStop() {
    if (!this.#items.get(this.#current)?.isFound) {
      this.#makeCurrent(this.shown[0]?.key);
    }
  }

  #makeCurrent(key) {
    this.#items.get(this.#current)?.element.firstChild.setAttribute("tabindex", "-1");
    this.#current = key ?? "";
    this.#items.get(this.#current)?.element.firstChild.setAttribute("tabindex", "0");
  }

  #onKey(event) {
    const key = itemKey(event.target);
    const shown = this.shown;
    const index = shown.findIndex((record) => record.key === key);
    const target = this.#targetOf(event.key, index, shown.length);
    if (target !== null) {
      this.focus(shown[Math.min(Math.max(target, 0), shown.length - 1)].key);
    } else if (event.key === "Delete") {
      this.#emit("delete", key);
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
      this.#emit("undo", key);
    } else {
      return;
    }
    event.preventDefault();
  }

  #targetOf(name, index, count) {
    const columns = getComputedStyle(this.#list).gridTemplateColumns.split(" ").length;
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    if (name in moves) {
      const target = index + moves[name];
      return target >= 0 && target < count ? target : index;
    }
    return { Home: 0, End: count - 1 }[name] ?? null;
  }

  #emit(name, key) {
    if (key) {
      this.dispatchEvent(new CustomEvent(name, { detail: key }));
    }
  }
}

function itemKey(element) {
  return element?.closest?.("li[data-key]")?.dataset.key;
}

function searchable(text) {
  return text.normalize("NFKC").toLowerCase();
}
