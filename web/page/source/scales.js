// The numbers behind the charts: ticks, heights, words. No DOM.

const TICK_STEPS = [1, 2, 5, 10];

/**
 * Round values from 0 to at least `max`, some four of them.
 * @param {number} max
 * @param {boolean} [isWhole] no fractions, for what is counted
 * @returns {number[]}
 */
export function roundTicks(max, isWhole = false) {
  const rough = (max > 0 ? max : 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = TICK_STEPS.find((each) => each * power >= rough * (1 - 1e-9)) * power;
  if (isWhole) {
    step = Math.max(1, Math.ceil(step));
  }
  const count = Math.max(1, Math.ceil(max / step - 1e-9));
  return Array.from({ length: count + 1 }, (_, index) => tidyNumber(index * step));
}

function tidyNumber(value) {
  return Number(value.toPrecision(12));
}

/**
 * The highest stack, or the highest line.
 * @param {(number|null)[][]} rows
 * @param {boolean} isStacked
 */
export function highestOf(rows, isStacked) {
  return rows.reduce((highest, row) => {
    const values = row.map((value) => value ?? 0);
    const height = isStacked ? values.reduce((sum, value) => sum + value, 0) : Math.max(...values);
    return Math.max(highest, height);
  }, 0);
}

/**
 * A path through the points, with a gap where a value is null. A point alone is a short dash.
 * @param {(number|null)[]} values
 * @param {(index: number) => number} x
 * @param {(value: number) => number} y
 */
export function linePath(values, x, y) {
  const parts = [];
  values.forEach((value, index) => {
    if (value === null) {
      return;
    }
    const hasBefore = index > 0 && values[index - 1] !== null;
    const hasAfter = index + 1 < values.length && values[index + 1] !== null;
    const isAlone = !hasBefore && !hasAfter;
    const left = x(index) - (isAlone ? 2 : 0);
    parts.push(`${hasBefore ? "L" : "M"}${left.toFixed(1)} ${y(value).toFixed(1)}`);
    if (isAlone) {
      parts.push("h4");
    }
  });
  return parts.join("");
}

/**
 * "0.35 s", "8.2 s", "41 s", "2 min 5 s", "3 h 20 min".
 * @param {number|null} seconds
 */
export function secondsInWords(seconds) {
  if (seconds === null || seconds === undefined) {
    return "–";
  }
  if (seconds < 59.5) {
    const digits = seconds < 0.995 ? 2 : seconds < 9.95 ? 1 : 0;
    return `${tidyNumber(Number(seconds.toFixed(digits)))} s`;
  }
  const whole = Math.round(seconds);
  if (whole < 3600) {
    return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  }
  const minutes = Math.floor(whole / 60);
  const hours = Math.floor(minutes / 60);
  return hours < 48
    ? `${hours} h ${minutes % 60} min`
    : `${Math.floor(hours / 24)} days ${hours % 24} h`;
}

/**
 * "66.6 %"; "100 %" only if it is all of them; "–" of none.
 * @param {number} part
 * @param {number} whole
 */
export function percentInWords(part, whole) {
  if (!whole) {
    return "–";
  }
  return `${Math.floor((1000 * part) / whole) / 10} %`;
}

/**
 * Where the time axis is labelled: ages in minutes, the oldest first.
 * @param {number} minutes
 * @returns {{at: number, text: string}[]} at: from 0, the oldest, to 1
 */
export function timeTicks(minutes) {
  const step = minutes <= 5 ? 1 : minutes <= 15 ? 5 : 15;
  const ticks = [];
  for (let age = Math.floor(minutes / step) * step; age >= 0; age -= step) {
    ticks.push({ at: 1 - age / minutes, text: age ? `−${age} min` : "now" });
  }
  return ticks;
}
