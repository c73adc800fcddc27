// Whether the service is there and can draw, and what it can.

import { getJson } from "./api.js";

const CALM_PAUSE_MS = 5000;
const ANXIOUS_PAUSE_MS = 1500;
const STATUS_LIMIT_MS = 10_000;
const STATES_IN_WORDS = {
  ready: "Ready",
  loading: "The model is loading: it draws as soon as it is there",
  unreachable: "The model server is not reachable: it draws as soon as it is back",
  draining: "The service is stopping: it draws when it is started again",
};

/**
 * Events "change", whose detail is {state, text}: "ready", "loading" or "lost"; "capabilities",
 * whose detail they are, at first and whenever they may be others; "back", once it answers again.
 */
export class Connection extends EventTarget {
  #timer = 0;
  #asking = null;
  #state = "loading";
  #fingerprints = null; // of the models that the capabilities were asked for
  #isStale = true;

  constructor() {
    super();
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) {
        this.check();
      }
    });
    globalThis.addEventListener("online", () => this.check());
  }

  /** Asks now, and from then on again and again. A check that is under way goes on. */
  check() {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = null;
      const ms = this.#state === "ready" ? CALM_PAUSE_MS : ANXIOUS_PAUSE_MS;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.check(), ms);
    });
    return this.#asking;
  }

  /** The limits are others than this page thinks. */
  refreshCapabilities() {
    this.#isStale = true;
    this.check();
  }

  async #ask() {
    try {
      const status = await getJson("/api/v1/status", undefined, STATUS_LIMIT_MS);
      await this.#askCapabilities(status);
      this.#change(status.state === "ready" ? "ready" : "loading", STATES_IN_WORDS[status.state]);
    } catch (error) {
      this.#isStale = true;
      this.#change("lost", error.message);
    }
  }

  async #askCapabilities({ state, modelServers }) {
    const fingerprints = [state, ...modelServers.map(({ fingerprint }) => fingerprint)].join(" ");
    if (this.#isStale || fingerprints !== this.#fingerprints) {
      const detail = await getJson("/api/v1/capabilities", undefined, STATUS_LIMIT_MS);
      this.#fingerprints = fingerprints;
      this.#isStale = false;
      this.dispatchEvent(new CustomEvent("capabilities", { detail }));
    }
  }

  #change(state, text) {
    const wasLost = this.#state === "lost";
    this.#state = state;
    this.dispatchEvent(new CustomEvent("change", { detail: { state, text } }));
    if (wasLost && state !== "lost") {
      this.dispatchEvent(new Event("back"));
    }
  }
}
