// The fields in which somebody says what is to be drawn.

import { copyText } from "./clipboard.js";
import { showNote } from "./notes.js";
import {
  checkSettings,
  defaultSettings,
  saveSettings,
  settingsToFragment,
  textProblem,
  typedNumber,
} from "./settings.js";
import { TokenCount } from "./token-count.js";

const FIELD_IDS = {
  prompt: "prompt",
  negativePrompt: "negative-prompt",
  steps: "steps",
  guidanceScale: "guidance",
  count: "count",
  seed: "seed",
};
const TEXT_FIELDS = ["prompt", "negativePrompt"];
const ANY_SEED = -1; // as AUTOMATIC1111 writes it
const SAVE_PAUSE_MS = 300;

/** Events "draw", whose detail are settings that were checked, and "stop". */
export class Form extends EventTarget {
  #form = document.getElementById("form");
  #size = document.getElementById("size");
  #note = document.getElementById("form-note");
  #seedLast = document.getElementById("seed-last");
  #fields = {};
  #tokens = [];
  #capabilities = null;
  #own = new Set(); // the names of what is not the model's default
  #lastSeed = null;
  #saving = 0;

  constructor() {
    super();
    for (const [name, id] of Object.entries(FIELD_IDS)) {
      this.#fields[name] = document.getElementById(id);
    }
    this.#tokens = TEXT_FIELDS.map((name) => {
      const output = document.getElementById(`${FIELD_IDS[name]}-tokens`);
      const problemOf = (text) => textProblem(text, this.#capabilities);
      return new TokenCount(this.#fields[name], output, problemOf);
    });
    this.#listen();
  }

  /**
   * Fills in what is given and leaves the rest.
   * @param {object} settings some of them
   * @returns {string} a sentence where the model has no such size, else ""
   */
  show(settings) {
    for (const [name, field] of Object.entries(this.#fields)) {
      if (name in settings) {
        field.value = settings[name] ?? "";
      }
    }
    const note = this.#chooseSize(settings);
    this.#tokens.forEach((count) => count.refresh());
    this.#changed(Object.keys(settings));
    return note;
  }

  /**
   * @returns {object} settings; a number that is left out is undefined, one that cannot be read NaN
   */
  read() {
    const { prompt, negativePrompt, seed } = this.#fields;
    const numbers = ["steps", "guidanceScale", "count"].map((name) => [name, this.#number(name)]);
    const [width, height] = this.#size.value.split("x").map(Number);
    const typedSeed = typedNumber(seed.value) ?? null;
    return {
      prompt: prompt.value,
      negativePrompt: negativePrompt.value || (this.#capabilities ? "" : undefined),
      ...Object.fromEntries(numbers),
      ...(height ? { width, height } : {}),
      seed: typedSeed === ANY_SEED ? null : typedSeed,
    };
  }

  /** What the model takes, which may be other than before. */
  setCapabilities(capabilities) {
    this.#capabilities = capabilities;
    this.#setLimits(capabilities.limits);
    const { negativePrompt, steps, guidanceScale, count } = defaultSettings(capabilities);
    const defaults = Object.entries({ negativePrompt, steps, guidanceScale, count });
    this.show(Object.fromEntries(defaults.filter(([name]) => !this.#own.has(name))));
    this.#tokens.forEach((tokens) => tokens.refresh({ isNewModel: true }));
    this.showErrors({ ...checkSettings(this.read(), capabilities), prompt: "" });
  }

  /** @param {number} seed of the picture that was drawn last */
  setLastSeed(seed) {
    this.#lastSeed = seed;
    const words = `Use the seed of the last picture: ${seed}`;
    this.#seedLast.title = words;
    this.#seedLast.setAttribute("aria-label", words);
    this.#seedLast.disabled = false;
  }

  /** @param {Object<string, string>} errors of fields; those without one are right */
  showErrors(errors) {
    for (const [name, field] of Object.entries(this.#fields)) {
      const output = document.getElementById(`${FIELD_IDS[name]}-error`);
      output.textContent = errors[name] ?? "";
      output.hidden = !errors[name];
      if (errors[name]) {
        field.setAttribute("aria-invalid", "true");
      } else {
        field.removeAttribute("aria-invalid");
      }
    }
  }

  /** As `showNote`, below the fields. */
  note(text, options) {
    showNote(this.#note, text, options);
  }

  /** To the prompt, at its end. */
  focus() {
    const { prompt } = this.#fields;
    prompt.focus();
    prompt.setSelectionRange(prompt.value.length, prompt.value.length);
  }

  /** Draws, if nothing is wrong; else goes to the first field that is. */
  submit() {
    const settings = this.read();
    const errors = checkSettings(settings, this.#capabilities);
    this.showErrors(errors);
    const wrong = Object.keys(FIELD_IDS).find((name) => errors[name]);
    if (wrong) {
      this.#fields[wrong].focus();
      return;
    }
    this.note("");
    this.dispatchEvent(new CustomEvent("draw", { detail: settings }));
  }

  #listen() {
    const click = (id, act) => document.getElementById(id).addEventListener("click", act);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.#form.addEventListener("input", ({ target }) => {
      this.#changed([target.name]);
      this.#clearErrors();
    });
    globalThis.addEventListener("pagehide", () => this.#save());
    click("stop", () => this.dispatchEvent(new Event("stop")));
    click("seed-dice", () => this.show({ seed: null }));
    click("seed-last", () => this.show({ seed: this.#lastSeed }));
    click("reset", () => this.#reset());
    click("share", () => this.#share());
  }

  #reset() {
    const before = this.read();
    this.show(defaultSettings(this.#capabilities));
    this.showErrors({});
    const undo = () => {
      this.show(before);
      this.note("");
      this.#fields.prompt.focus();
    };
    this.note("All fields are as they were at first.", { action: { label: "Undo", act: undo } });
  }

  async #share() {
    const link = `${location.origin}${location.pathname}${settingsToFragment(this.read())}`;
    const isCopied = await copyText(link);
    this.note(isCopied ? "The link is copied." : `Copy this link: ${link}`);
  }

  #number(name) {
    const field = this.#fields[name];
    return field.validity.badInput ? NaN : typedNumber(field.value);
  }

  #setLimits({ imageSize, minSteps, maxSteps, maxCount, maxGuidanceScale }) {
    this.#fields.steps.min = minSteps;
    this.#fields.steps.max = maxSteps;
    this.#fields.count.max = maxCount;
    this.#fields.guidanceScale.title = `From 1 to ${maxGuidanceScale}`;
    const size = new Option(`${imageSize} × ${imageSize}`, `${imageSize}x${imageSize}`);
    this.#size.replaceChildren(size);
  }

  // A sentence where the model has no such size.
  #chooseSize({ width, height }) {
    const value = `${width}x${height}`;
    const sizes = [...this.#size.options];
    if (sizes.some((option) => option.value === value)) {
      this.#size.value = value;
    } else if (width && height && sizes.length > 0) {
      return `Drawn at ${sizes[0].text}: the model has no ${width} × ${height}.`;
    }
    return "";
  }

  #clearErrors() {
    const errors = checkSettings(this.read(), this.#capabilities);
    const isShown = ([name]) => this.#fields[name].hasAttribute("aria-invalid");
    this.showErrors(Object.fromEntries(Object.entries(errors).filter(isShown)));
  }

  #changed(names) {
    const settings = this.read();
    const defaults = defaultSettings(this.#capabilities);
    for (const name of names) {
      const isOwn = settings[name] !== undefined && settings[name] !== defaults[name];
      this.#own[isOwn ? "add" : "delete"](name);
    }
    clearTimeout(this.#saving);
    this.#saving = setTimeout(() => this.#save(), SAVE_PAUSE_MS);
  }

  // For tomorrow.
  #save() {
    if (this.#saving) {
      this.#saving = 0;
      saveSettings(this.read(), defaultSettings(this.#capabilities));
    }
  }
}
