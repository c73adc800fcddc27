// What a picture is drawn from: defaults, checks, and how it travels in a link and over nights.

const SETTINGS_KEY = "diffusion.settings";
const SEED_LIMIT = 2 ** 31 - 2;
const LEAST_GUIDANCE = 1;
const EMPTY_PROMPT = "Write what you want to see.";
const TEXT_SETTINGS = ["prompt", "negativePrompt"];
const WHOLE_SETTINGS = ["steps", "count", "width", "height", "seed"];

/**
 * @param {object|null} capabilities null while they are not known
 * @returns {object} settings
 */
export function defaultSettings(capabilities) {
  const limits = capabilities?.limits;
  return {
    prompt: "",
    negativePrompt: limits?.defaultNegativePrompt ?? "",
    steps: limits?.defaultSteps,
    guidanceScale: limits?.defaultGuidanceScale,
    count: 1,
    width: limits?.imageSize,
    height: limits?.imageSize,
    seed: null,
  };
}

/**
 * What is wrong, for each field that is. A number that was left out is the model's default; NaN is
 * one that nobody can read.
 * @param {object} settings
 * @param {object|null} capabilities
 * @returns {Object<string, string>}
 */
export function checkSettings(settings, capabilities) {
  const limits = capabilities?.limits;
  const { steps, guidanceScale, count, seed } = { ...defaultSettings(capabilities), ...settings };
  const wrong = {
    prompt: settings.prompt?.trim() ? textProblem(settings.prompt, capabilities) : EMPTY_PROMPT,
    negativePrompt: textProblem(settings.negativePrompt ?? "", capabilities),
    steps: wholeProblem(steps, limits?.minSteps ?? 1, limits?.maxSteps),
    guidanceScale: numberProblem(guidanceScale, LEAST_GUIDANCE, limits?.maxGuidanceScale),
    count: wholeProblem(count, 1, limits?.maxCount),
    seed: seed === null ? "" : wholeProblem(seed, 0, SEED_LIMIT - (count || 1)),
  };
  if (!wrong.count && !wrong.steps) {
    wrong.count = costProblem(steps, count, limits);
  }
  return Object.fromEntries(Object.entries(wrong).filter(([, problem]) => problem));
}

/**
 * What is wrong with a prompt or negative prompt, or "".
 * @param {string} text
 * @param {object|null} capabilities
 * @returns {string}
 */
export function textProblem(text, capabilities) {
  const size = new TextEncoder().encode(text).length;
  const most = capabilities?.limits.maxPromptBytes ?? Infinity;
  return size > most ? `${size} bytes, and the model takes ${most}: shorten it.` : "";
}

/**
 * A number as somebody typed it: with a comma too.
 * @param {string} text
 * @returns {number|undefined} undefined if there is none, NaN if it cannot be read
 */
export function typedNumber(text) {
  const plain = text.trim().replace(",", ".");
  if (plain === "") {
    return undefined;
  }
  return /^[+-]?(\d+\.?\d*|\.\d+)$/.test(plain) ? Number(plain) : NaN;
}

/**
 * @param {object} settings
 * @returns {string} for a link; the settings never reach a server, as a query would
 */
export function settingsToFragment(settings) {
  const known = [...TEXT_SETTINGS, "guidanceScale", ...WHOLE_SETTINGS]
    .map((name) => [name, settings[name]])
    .filter(([name, value]) => isGoodSetting(name, value));
  return `#${new URLSearchParams(known)}`;
}

/**
 * @param {string} hash
 * @returns {object|null} null if it holds no settings; a value that is none is left out
 */
export function fragmentToSettings(hash) {
  const parts = [...new URLSearchParams(hash.replace(/^#/, ""))].map(([name, text]) => [
    name,
    TEXT_SETTINGS.includes(name) ? text : typedNumber(text),
  ]);
  return goodSettings(Object.fromEntries(parts));
}

/**
 * What was typed last.
 * @returns {object|null}
 */
export function loadSettings() {
  try {
    return goodSettings(JSON.parse(localStorage.getItem(SETTINGS_KEY)) ?? {});
  } catch {
    return null;
  }
}

/**
 * Those that are not the defaults, which may be others tomorrow. Does nothing where the browser
 * keeps nothing.
 * @param {object} settings
 * @param {object} defaults
 */
export function saveSettings(settings, defaults = {}) {
  const own = Object.entries(settings).filter(([name, value]) => value !== defaults[name]);
  try {
    localStorage.setItem(SETTINGS_KEY, JSON.stringify(Object.fromEntries(own)));
  } catch {
    // Full, or forbidden: it is only a convenience.
  }
}

function wholeProblem(value, least, most = Infinity) {
  const isInside = Number.isInteger(value) && value >= least && value <= most;
  return value === undefined || isInside ? "" : `A whole number ${rangeInWords(least, most)}.`;
}

function numberProblem(value, least, most = Infinity) {
  const isInside = value >= least && value <= most;
  return value === undefined || isInside ? "" : `A number ${rangeInWords(least, most)}.`;
}

function rangeInWords(least, most) {
  return most === Infinity ? `of ${least} or more` : `from ${least} to ${most}`;
}

function costProblem(steps, count, limits) {
  const dear = (limits?.imageSize ?? 0) ** 2 * steps;
  const most = Math.floor((limits?.maxCost ?? Infinity) / dear);
  if (!(count > most)) {
    return "";
  }
  return most < 1
    ? "Too much work for one job: choose fewer steps."
    : `At ${steps} steps the service draws ${most} at a time: choose fewer pictures or steps.`;
}

function goodSettings(values) {
  const good = Object.entries(values).filter(([name, value]) => isGoodSetting(name, value));
  return good.length > 0 ? Object.fromEntries(good) : null;
}

function isGoodSetting(name, value) {
  if (TEXT_SETTINGS.includes(name)) {
    return typeof value === "string";
  }
  if (WHOLE_SETTINGS.includes(name)) {
    return Number.isSafeInteger(value) && value >= 0;
  }
  return name === "guidanceScale" && Number.isFinite(value);
}
