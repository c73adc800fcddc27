// The tabs at the top: the arrow keys move between them.

/** Event "change", whose detail is the id of the panel that is shown. */
export class Tabs extends EventTarget {
  #tabs;

  /** @param {HTMLElement} list */
  constructor(list) {
    super();
    this.#tabs = [...list.querySelectorAll("[role=tab]")];
    for (const tab of this.#tabs) {
      tab.addEventListener("click", () => this.select(tab));
    }
    list.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** @param {HTMLElement} chosen */
  select(chosen) {
    for (const tab of this.#tabs) {
      const isChosen = tab === chosen;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !isChosen;
    }
    const detail = chosen.getAttribute("aria-controls");
    this.dispatchEvent(new CustomEvent("change", { detail }));
  }

  #onKey(event) {
    const place = this.#tabs.indexOf(document.activeElement);
    const last = this.#tabs.length - 1;
    const places = {
      ArrowRight: place === last ? 0 : place + 1,
      ArrowLeft: place === 0 ? last : place - 1,
      Home: 0,
      End: last,
    };
    if (event.key in places && !event.altKey && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      this.#tabs[places[event.key]].focus();
      this.select(document.activeElement);
    }
  }
}
