// Infotext as AUTOMATIC1111 writes it, and hostile text in linear time.

import assert from "node:assert/strict";
import { test } from "node:test";

import { parseInfotext } from "../../../../web/page/source/infotext.js";

const LAST = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model: v1-5";

test("AUTOMATIC1111's own is read, and what is not used is named", () => {
  const found = parseInfotext(
    "masterpiece, (cat:1.2)\nwith [blue] eyes\nNegative prompt: bad\n" +
      "Steps: 25, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 1234, Size: 512x768, " +
      'Model hash: 6ce0161689, Model: v1-5, Lora hashes: "x: 1a2b, y: 3c4d", Version: v1.10.1',
  );
  assert.deepEqual(found.settings, {
    prompt: "masterpiece, cat\nwith blue eyes",
    negativePrompt: "bad",
    steps: 25,
    guidanceScale: 7.5,
    seed: 1234,
    width: 512,
    height: 768,
  });
  assert.deepEqual(found.ignored, ["Sampler", "Model", "Lora hashes"]);
  assert.match(found.notes.join(" "), /emphasis/);
  assert.match(found.notes.join(" "), /the same seed gives another picture here/);
});

test("this service's own has nothing that is ignored, and its escaped brackets are text", () => {
  const found = parseInfotext(
    "a \\(red\\) \\\\ circle (really)\n" +
      "Steps: 20, Sampler: DPM++ 2M, Schedule type: SGM Uniform, CFG scale: 7.5, Seed: 7, " +
      "Size: 16x8, Model: sd14, RNG: TensorFlow, Interrupted: yes, Fingerprint: 0123-fast, " +
      "Profile: fast, Version: diffusion-serving 1.0.0",
  );
  assert.equal(found.settings.prompt, "a (red) \\ circle (really)");
  assert.deepEqual(found.ignored, []);
  assert.deepEqual(found.notes, ["It was stopped before its last step."]);
});

test("a picture without prompt has an empty one", () => {
  assert.equal(parseInfotext(LAST).settings.prompt, "");
  assert.equal(parseInfotext(LAST).settings.negativePrompt, "");
});

test("a negative prompt of several lines is one", () => {
  const { settings } = parseInfotext(`one\ntwo\nNegative prompt: three\n four \n${LAST}`);
  assert.deepEqual([settings.prompt, settings.negativePrompt], ["one\ntwo", "three\nfour"]);
});

test("lines that end as on Windows are read", () => {
  const { settings } = parseInfotext(`one\r\nNegative prompt: two\r\n${LAST}\r\n`);
  assert.deepEqual([settings.prompt, settings.negativePrompt, settings.steps], ["one", "two", 20]);
});

test("a value that is no number, or a seed that is too large, is named and left out", () => {
  const found = parseInfotext("a\nSteps: many, CFG scale: -1, Seed: 4294967295, Size: large");
  assert.deepEqual(found.settings, { prompt: "a", negativePrompt: "" });
  assert.deepEqual(found.ignored, ["Steps", "CFG scale", "Seed", "Size"]);
  assert.equal(parseInfotext("a\nSteps: 1, CFG scale: 2, Seed: 2147483645").settings.seed, 2 ** 31 - 3);
  for (const seed of ["-1", "1e400", "9".repeat(400), "0x10", "", "1.5", "２"]) {
    const { settings } = parseInfotext(`a\nSteps: 1, Seed: ${seed}, CFG scale: 2, Sampler: x`);
    assert.equal(settings.seed, undefined);
  }
});

test("keys that are names of an object's own methods do nothing", () => {
  const found = parseInfotext("a\n__proto__: 1, constructor: 2, toString: 3, Steps: 4");
  assert.equal(found.settings.steps, 4);
  assert.equal({}.polluted, undefined);
});

test("what is no infotext is none", () => {
  for (const text of ["", " \n ", "a cat", "a cat\nSteps: 20, Seed: 1", '{"sui_image_params": {}}']) {
    assert.equal(parseInfotext(text), null);
  }
});

test("a megabyte of any mark is read in a moment", () => {
  const marks = ["x", " ", "ab:", 'ab:"', 'ab:"\\"', "ab, ", "\n", "9x9,", "(", ")", "(a:1", "[", "\\",
    "<a:", "#", "BREAK ", "\u{1f600}", "Negative prompt:"];
  for (const mark of marks) {
    for (const size of [30_000, 65_000, 1_000_000]) {
      const start = performance.now();
      const line = `a${mark.repeat(size / mark.length)}!`;
      parseInfotext(line);
      parseInfotext(`${line}\n${LAST}`);
      const took = performance.now() - start;
      assert.ok(took < 2000, `${JSON.stringify(mark)} × ${size}: ${took} ms`);
    }
  }
});
