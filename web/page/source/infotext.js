// Infotext: how AUTOMATIC1111 and its many readers note what made a picture.

import { plainPrompt, unescapedPrompt } from "./syntax.js";

const NEGATIVE_MARK = "Negative prompt:";
const MIN_PAIRS = 3; // a last line of fewer belongs to the prompt
const MAX_LINE_CHARACTERS = 65_536; // a longer last line is none of parameters
const INFOTEXT_MAX_SEED = 2 ** 31 - 3;
const OWN_VERSION = "diffusion-serving";

// A key without end would be looked for from each of its characters: hence its limit.
const INFOTEXT_PAIR =
  /([\p{L}\p{N}_][\p{L}\p{N}_ \-/]{1,99}):\s*("(?:[^\\"]|\\.)+"|[^,]*)(?:,|$)/gu;

// What says nothing that drawing could follow.
const SILENT_KEYS = ["Version", "Model hash", "VAE hash", "RNG", "Interrupted"];

/**
 * @param {string} text
 * @returns {{settings: object, ignored: string[], notes: string[]}|null} ignored: the keys of what
 *   this service does not do. notes: sentences. Null if the text is no infotext.
 */
export function parseInfotext(text) {
  const lines = text.trim().split("\n");
  const values = infotextPairs(lines.pop());
  if (values === null) {
    return null;
  }
  const isOwn = (values.get("Version") ?? "").startsWith(OWN_VERSION);
  const prompts = infotextPrompts(lines);
  const [prompt, negative] = prompts.map(isOwn ? ownPrompt : plainPrompt);
  const { settings, used } = infotextSettings(values);
  const notes = [...new Set([...prompt.notes, ...negative.notes, ...infotextNotes(values, isOwn)])];
  return {
    settings: { prompt: prompt.text, negativePrompt: negative.text, ...settings },
    ignored: isOwn
      ? []
      : [...values.keys()].filter((key) => !used.has(key) && !SILENT_KEYS.includes(key)),
    notes,
  };
}

function ownPrompt(text) {
  return { text: unescapedPrompt(text), notes: [] };
}

function infotextPairs(line) {
  if (line.length > MAX_LINE_CHARACTERS) {
    return null;
  }
  const pairs = [...line.matchAll(INFOTEXT_PAIR)];
  if (pairs.length < MIN_PAIRS) {
    return null;
  }
  return new Map(pairs.map(([, key, value]) => [key, unquoted(value)]));
}

function unquoted(value) {
  if (/^".*"$/.test(value)) {
    try {
      return String(JSON.parse(value));
    } catch {
      return value; // as A1111 does with what it cannot unquote
    }
  }
  return value.trim();
}

// Blanks around lines and empty lines at the start are lost in the format.
function infotextPrompts(lines) {
  const parts = [[], []];
  let part = parts[0];
  for (const line of lines.map((each) => each.trim())) {
    const isMarked = line.startsWith(NEGATIVE_MARK);
    if (isMarked) {
      part = parts[1];
    }
    const content = isMarked ? line.slice(NEGATIVE_MARK.length).trim() : line;
    if (part.length > 0 || content) {
      part.push(content);
    }
  }
  return parts.map((each) => each.join("\n"));
}

function infotextSettings(values) {
  const settings = {};
  const used = new Set();
  const take = (key, fields) => {
    if (Object.values(fields).every((value) => Number.isFinite(value))) {
      Object.assign(settings, fields);
      used.add(key);
    }
  };
  take("Steps", { steps: wholeNumber(values.get("Steps")) });
  take("CFG scale", { guidanceScale: decimalNumber(values.get("CFG scale")) });
  const seed = wholeNumber(values.get("Seed"));
  take("Seed", { seed: seed <= INFOTEXT_MAX_SEED ? seed : NaN });
  const [width, height] = (/^\d{1,5}x\d{1,5}$/.exec(values.get("Size")) ?? [""])[0].split("x");
  take("Size", { width: wholeNumber(width), height: wholeNumber(height) });
  return { settings, used };
}

function infotextNotes(values, isOwn) {
  const notes = [];
  if (!isOwn && values.has("Seed")) {
    notes.push("Another program drew it: the same seed gives another picture here.");
  }
  if (isOwn && values.get("Interrupted") === "yes") {
    notes.push("It was stopped before its last step.");
  }
  return notes;
}

function wholeNumber(text) {
  return /^\d{1,15}$/.test(text) ? Number(text) : NaN;
}

function decimalNumber(text) {
  return /^\d{1,15}(\.\d{0,20})?$/.test(text) ? Number(text) : NaN;
}
