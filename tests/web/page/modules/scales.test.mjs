import assert from "node:assert/strict";
import { test } from "node:test";

import {
  highestOf,
  linePath,
  percentInWords,
  roundTicks,
  secondsInWords,
  timeTicks,
} from "../../../../web/page/source/scales.js";

test("ticks are round, begin at 0 and reach the highest value", () => {
  assert.deepEqual(roundTicks(10), [0, 5, 10]);
  assert.deepEqual(roundTicks(0.7), [0, 0.2, 0.4, 0.6, 0.8]);
  assert.deepEqual(roundTicks(4), [0, 1, 2, 3, 4]);
  for (let exponent = -3; exponent < 6; exponent += 0.037) {
    const max = 10 ** exponent;
    const ticks = roundTicks(max);
    assert.equal(ticks[0], 0);
    assert.ok(ticks.at(-1) >= max * (1 - 1e-9), `${max}: ${ticks}`);
    assert.ok(ticks.length >= 3 && ticks.length <= 6, `${max}: ${ticks}`);
    assert.ok(ticks.every((tick) => String(tick).length < 9), `${max}: ${ticks}`);
  }
});

test("ticks of what is counted are whole", () => {
  for (let max = 0; max < 200; max += 1) {
    assert.ok(roundTicks(max, true).every(Number.isInteger), String(max));
    assert.ok(roundTicks(max, true).at(-1) >= max);
  }
  assert.deepEqual(roundTicks(0, true), [0, 1]);
});

test("the height of stacked bars is their sum, that of lines the highest", () => {
  const rows = [[1, 2, 3], [null, 4, null]];
  assert.equal(highestOf(rows, true), 6);
  assert.equal(highestOf(rows, false), 4);
  assert.equal(highestOf([], false), 0);
});

test("a line has a gap where there is no value, and a point alone is a short dash", () => {
  const path = linePath([1, 2, null, 3, null], (index) => index, (value) => value);
  assert.equal(path, "M0.0 1.0L1.0 2.0M1.0 3.0h4");
  assert.equal(linePath([null, null], Number, Number), "");
});

test("durations are said as people say them", () => {
  const said = [null, 0, 0.352, 0.999, 8.24, 41.4, 59.7, 125, 3599.6, 12_000, 200_000];
  assert.deepEqual(said.map(secondsInWords), [
    "–",
    "0 s",
    "0.35 s",
    "1 s",
    "8.2 s",
    "41 s",
    "1 min 0 s",
    "2 min 5 s",
    "1 h 0 min",
    "3 h 20 min",
    "2 days 7 h",
  ]);
});

test("100 % means all of them", () => {
  assert.equal(percentInWords(9999, 10_000), "99.9 %");
  assert.equal(percentInWords(3, 3), "100 %");
  assert.equal(percentInWords(0, 3), "0 %");
  assert.equal(percentInWords(0, 0), "–");
});

test("the time axis ends now and fits its labels", () => {
  for (const minutes of [5, 15, 60]) {
    const ticks = timeTicks(minutes);
    assert.deepEqual(ticks[0], { at: 0, text: `−${minutes} min` });
    assert.deepEqual(ticks.at(-1), { at: 1, text: "now" });
    assert.ok(ticks.length <= 6);
  }
});
