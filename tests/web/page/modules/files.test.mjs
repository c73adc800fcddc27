// Names of files: good on every system, whatever the prompt.

import assert from "node:assert/strict";
import { test } from "node:test";

import { distinctNames, fileName } from "../../../../web/page/source/files.js";

const CREATED = new Date(2026, 10, 29, 23, 59).getTime(); // local time, as in the name
const named = (prompt) => fileName({ created: CREATED, prompt, seed: 1234 });

test("a name has the day, the prompt and the seed", () => {
  assert.equal(named("a small red circle"), "2026-11-29 a small red circle 1234.png");
});

test("an empty prompt, or one of marks alone, is called picture", () => {
  for (const prompt of ["", "  ", "///", "...", "\u202e", "\ud800", "\0"]) {
    assert.equal(named(prompt), "2026-11-29 picture 1234.png");
  }
});

test("what a file system or a shell would misread becomes a blank", () => {
  assert.equal(named('../a/b\\c:d*e?f"g<h>i|j\n\tk\u202egnp.exe'),
    "2026-11-29 a b c d e f g h i j k gnp.exe 1234.png");
});

test("a name of Windows' own devices is none, as the day comes first", () => {
  assert.match(named("CON"), /^2026-11-29 CON 1234\.png$/);
});

test("a long prompt is cut between characters, to at most 255 bytes in all", () => {
  const family = "👩‍👩‍👧‍👦";
  for (const part of ["x", "ü", "漢", "👍🏽", family, "a\u0301"]) {
    const name = named(part.repeat(300));
    assert.ok(Buffer.byteLength(name) < 160, name);
    assert.ok(Buffer.byteLength(name) > 100, name);
    assert.match(name, / 1234\.png$/);
    const middle = name.slice(11, -" 1234.png".length);
    assert.equal(middle, part.repeat(middle.length / part.length));
  }
});

test("a prompt of a megabyte costs nothing", () => {
  const start = performance.now();
  named("a ".repeat(500_000));
  assert.ok(performance.now() - start < 500);
});

test("names that come again get a number, where case does not count", () => {
  assert.deepEqual(distinctNames(["a.png", "A.png", "a.png", "a (2).png", "b.png"]),
    ["a.png", "A (2).png", "a (3).png", "a (2) (2).png", "b.png"]);
  assert.equal(new Set(distinctNames(Array(2000).fill("a.png"))).size, 2000);
});
