// Settings: their checks against a model's limits, and how they travel.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import {
  checkSettings,
  defaultSettings,
  fragmentToSettings,
  loadSettings,
  saveSettings,
  settingsToFragment,
  typedNumber,
} from "../../../../web/page/source/settings.js";
import { FakeStorage } from "./fake-service.mjs";

const CAPABILITIES = {
  limits: {
    ...{ minSteps: 1, maxSteps: 50, maxPromptBytes: 100, maxGuidanceScale: 30 },
    ...{ imageSize: 64, maxCount: 4 },
    ...{ defaultSteps: 20, defaultGuidanceScale: 7.5, defaultNegativePrompt: "blurry" },
    maxCost: 64 * 64 * 100,
  },
};
const GOOD = {
  ...{ prompt: "a red circle, 50 % & more #1", negativePrompt: "", steps: 20, guidanceScale: 7.5 },
  ...{ count: 2, width: 64, height: 64, seed: 1234 },
};

function wrong(changes) {
  return checkSettings({ ...GOOD, ...changes }, CAPABILITIES);
}

beforeEach(() => {
  globalThis.localStorage = new FakeStorage();
});

test("the defaults are the model's, and right once there is a prompt", () => {
  const defaults = defaultSettings(CAPABILITIES);
  assert.equal(defaults.steps, 20);
  assert.equal(defaults.negativePrompt, "blurry");
  assert.equal(defaults.seed, null);
  assert.deepEqual(Object.keys(checkSettings(defaults, CAPABILITIES)), ["prompt"]);
  assert.deepEqual(checkSettings({ ...defaults, prompt: "a" }, CAPABILITIES), {});
});

test("each field is checked against the limits, and the message names them", () => {
  assert.deepEqual(wrong({}), {});
  assert.match(wrong({ prompt: " \n" }).prompt, /Write what/);
  assert.match(wrong({ prompt: "é".repeat(51) }).prompt, /102 bytes.*100: shorten it/);
  assert.match(wrong({ negativePrompt: "n".repeat(101) }).negativePrompt, /101 bytes/);
  for (const steps of [0, 51, 2.5, NaN, -1, Infinity]) {
    assert.equal(wrong({ steps }).steps, "A whole number from 1 to 50.", String(steps));
  }
  for (const guidanceScale of [0.9, 30.1, NaN]) {
    assert.equal(wrong({ guidanceScale }).guidanceScale, "A number from 1 to 30.");
  }
  for (const count of [0, 5, 1.5, NaN]) {
    assert.equal(wrong({ count }).count, "A whole number from 1 to 4.", String(count));
  }
});

test("a model may need more than one step", () => {
  const limits = { ...CAPABILITIES.limits, minSteps: 2 };
  const { steps } = checkSettings({ ...GOOD, steps: 1 }, { limits });
  assert.equal(steps, "A whole number from 2 to 50.");
  assert.deepEqual(checkSettings({ ...GOOD, steps: 2 }, { limits }), {});
});

test("the last of several seeds has to fit too", () => {
  const last = 2 ** 31 - 3;
  assert.deepEqual(wrong({ seed: last, count: 1 }), {});
  assert.match(wrong({ seed: last, count: 2 }).seed, /from 0 to 2147483644/);
  assert.match(wrong({ seed: -2 }).seed, /whole number/);
  assert.match(wrong({ seed: NaN }).seed, /whole number/);
  assert.deepEqual(wrong({ seed: null }), {});
});

test("more work than one job may be is refused with what would do", () => {
  const message = wrong({ steps: 40, count: 4 }).count;
  assert.match(message, /At 40 steps the service draws 2 at a time/);
  assert.deepEqual(wrong({ steps: 50, count: 2 }), {});
});

test("a number that is left out is the model's default, and no mistake", () => {
  assert.deepEqual(wrong({ steps: undefined, guidanceScale: undefined, count: undefined }), {});
});

test("before the limits are known only what is wrong everywhere is refused", () => {
  assert.deepEqual(checkSettings({ ...GOOD, steps: 10_000 }, null), {});
  assert.match(checkSettings({ ...GOOD, steps: 0 }, null).steps, /of 1 or more/);
});

test("numbers are read with a comma too", () => {
  assert.equal(typedNumber(" 7,5 "), 7.5);
  assert.equal(typedNumber("7.5"), 7.5);
  assert.equal(typedNumber("-1"), -1);
  assert.equal(typedNumber("  "), undefined);
  for (const text of ["1,000.5", "1.2.3", "0x10", "1e3", "Infinity", "seven", "7 5"]) {
    assert.ok(Number.isNaN(typedNumber(text)), text);
  }
});

test("settings go through a link unchanged", () => {
  const prompts = ["a red circle", "50 % & #1=?+", "日本語 🔴\nsecond line", '"quoted" <b>'];
  for (const prompt of prompts) {
    const fragment = settingsToFragment({ ...GOOD, prompt });
    assert.deepEqual(fragmentToSettings(fragment), { ...GOOD, prompt });
    assert.equal(new URL(`http://a/${fragment}`).search, "");
    assert.deepEqual(fragmentToSettings(new URL(`http://a/${fragment}`).hash), { ...GOOD, prompt });
  }
});

test("an open seed, and what is not filled in, is not in the link", () => {
  const fragment = settingsToFragment({ prompt: "a", seed: null, steps: undefined, count: NaN });
  assert.equal(fragment, "#prompt=a");
});

test("a fragment that holds no settings is none, and what is no setting is left out", () => {
  for (const hash of ["", "#", "#top", "#a=b", "#steps=many", "#steps=1e999&seed=-5&count=1.5"]) {
    assert.equal(fragmentToSettings(hash), null, hash);
  }
  const mixed = fragmentToSettings("#prompt=a&steps=x&seed=7&__proto__=1&width=64&key=secret");
  assert.deepEqual(mixed, { prompt: "a", seed: 7, width: 64 });
  assert.doesNotThrow(() => fragmentToSettings("#prompt=%E0%A4%A"));
});

test("what was typed is there tomorrow, and the model's defaults may change", () => {
  saveSettings({ ...GOOD, steps: 20, guidanceScale: 9 }, defaultSettings(CAPABILITIES));
  const loaded = loadSettings();
  assert.equal(loaded.guidanceScale, 9);
  assert.equal(loaded.negativePrompt, "");
  assert.ok(!("steps" in loaded));
});

test("a storage that is full, forbidden or damaged costs nothing but the memory", () => {
  localStorage.isForbidden = true;
  assert.doesNotThrow(() => saveSettings(GOOD));
  assert.equal(loadSettings(), null);
  localStorage.isForbidden = false;
  for (const text of ["{", "7", "null", "[]", '{"steps": "many", "prompt": 7}']) {
    localStorage.setItem("diffusion.settings", text);
    assert.equal(loadSettings(), null, text);
  }
});
