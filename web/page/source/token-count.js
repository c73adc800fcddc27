// How many tokens a text has, beside the field in which it is typed.

import { postJson } from "./api.js";

const TOKENS_PAUSE_MS = 300;
const ENDS = 2; // the start and the end, which nobody writes

/** Asks once the typing pauses. Without an answer it shows nothing. */
export class TokenCount {
  #field;
  #output;
  #problemOf;
  #timer = 0;
  #asking = null;
  #counted = null;

  /**
   * @param {HTMLTextAreaElement} field
   * @param {HTMLElement} output
   * @param {(text: string) => string} problemOf says why the service would not count it, or ""
   */
  constructor(field, output, problemOf) {
    this.#field = field;
    this.#output = output;
    this.#problemOf = problemOf;
    field.addEventListener("input", () => this.refresh());
  }

  /** The text, or the model that reads it, is another. */
  refresh({ isNewModel = false } = {}) {
    const text = this.#field.value;
    clearTimeout(this.#timer);
    this.#asking?.abort();
    if (isNewModel) {
      this.#counted = null;
    }
    const problem = this.#problemOf(text);
    if (problem || !text.trim()) {
      this.#counted = null;
      this.#show(problem ? "too long" : "", Boolean(problem));
    } else if (text !== this.#counted) {
      this.#timer = setTimeout(() => this.#ask(text), TOKENS_PAUSE_MS);
    }
  }

  async #ask(prompt) {
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    try {
      const { tokens, maxTokens, truncated } = await postJson("/api/v1/tokens", { prompt }, signal);
      this.#counted = prompt;
      const count = `${tokens - ENDS} of ${maxTokens - ENDS} tokens`;
      this.#show(truncated ? `${count}: the rest is not read` : count, truncated);
    } catch {
      if (!signal.aborted) {
        this.#show("", false);
      }
    }
  }

  #show(text, isOver) {
    this.#output.textContent = text;
    this.#output.classList.toggle("over", isOver);
  }
}
