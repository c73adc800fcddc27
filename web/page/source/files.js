// The names under which pictures are downloaded, and the download.

const NAME_MAX_BYTES = 120; // of the prompt: with date and seed far below any file system's 255
// With invisible and broken ones, but not the joiner inside of emoji.
const UNSAFE_CHARACTERS = /(?!\u200d)[\p{C}\p{Zl}\p{Zp}/\\:*?"<>|]/gu;
const REVOKE_AFTER_MS = 60_000;

/**
 * Such as "2026-11-29 a small red circle 1234.png": sorted by date, good on every system.
 * @param {{created: number, prompt: string, seed: number}} record
 * @returns {string}
 */
export function fileName(record) {
  return `${fileDay(record.created)} ${namePart(record.prompt) || "picture"} ${record.seed}.png`;
}

/**
 * Other names for those that come again: "a.png", "a (2).png".
 * @param {string[]} names
 * @returns {string[]}
 */
export function distinctNames(names) {
  const taken = new Set();
  const counts = new Map();
  return names.map((name) => {
    let distinct = name;
    while (taken.has(distinct.toLowerCase())) {
      const count = (counts.get(name) ?? 1) + 1;
      counts.set(name, count);
      distinct = name.replace(/(\.\w+)?$/, ` (${count})$1`);
    }
    taken.add(distinct.toLowerCase());
    return distinct;
  });
}

/**
 * @param {Blob} blob
 * @param {string} name
 */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), REVOKE_AFTER_MS);
}

/**
 * @param {number} time ms since epoch
 * @returns {string} such as "2026-11-29"
 */
export function fileDay(time) {
  const date = new Date(time);
  const digits = (number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${digits(date.getMonth() + 1)}-${digits(date.getDate())}`;
}

function namePart(prompt) {
  const text = prompt.slice(0, 1000).replace(UNSAFE_CHARACTERS, " ").replace(/\s+/gu, " ").trim();
  return shortened(text).replace(/^[.~ ]+|[. ]+$/g, "");
}

// By whole characters, as they are seen, where the browser knows them.
function shortened(text) {
  const encoder = new TextEncoder();
  let size = 0;
  let end = 0;
  for (const part of visibleCharacters(text)) {
    size += encoder.encode(part).length;
    if (size > NAME_MAX_BYTES) {
      return text.slice(0, end);
    }
    end += part.length;
  }
  return text;
}

function visibleCharacters(text) {
  return typeof Intl.Segmenter === "function"
    ? [...new Intl.Segmenter().segment(text)].map(({ segment }) => segment)
    : [...text];
}
