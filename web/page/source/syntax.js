// AUTOMATIC1111's prompt syntax, which the model does not understand: made plain text.

const SYNTAX_MAX_CHARACTERS = 32_768;
const NETWORK_TAG = /<[\p{L}\p{N}_]+:[^<>]+>/gu;
const BREAK_WORD = /(?<![\p{L}\p{N}_])BREAK(?![\p{L}\p{N}_])/u;
const BRACKET = /\\[\\()[\]]|[()[\]]/g;
// Not \d+\.?\d*: the two would divide a long number between them in every way.
const EMPHASIS_WEIGHT = /:\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)\s*$/;

/**
 * The prompt without emphasis, LoRA tags, comments and BREAK.
 * @param {string} prompt
 * @returns {{text: string, notes: string[]}} notes: sentences on what it lost
 */
export function plainPrompt(prompt) {
  if (prompt.length > SYNTAX_MAX_CHARACTERS) {
    return { text: prompt, notes: [] };
  }
  const uncommented = prompt.includes("#") ? withoutComments(prompt) : prompt;
  const untagged = uncommented.replace(NETWORK_TAG, "");
  const hasTags = untagged !== uncommented;
  const { text, hasEmphasis } = withoutEmphasis(hasTags ? untagged.trim() : untagged);
  const parts = text.split(BREAK_WORD);
  const lost = [
    [hasEmphasis, "emphasis"],
    [hasTags, "tags such as <lora:…>"],
    [prompt.includes("#"), "comments after #"],
    [parts.length > 1, "BREAK"],
  ].flatMap(([isLost, name]) => (isLost ? [name] : []));
  const note = `Left out of the prompt, for no effect here: ${lost.join(", ")}.`;
  return {
    text: parts.length > 1 ? joinedParts(parts) : text,
    notes: lost.length > 0 ? [note] : [],
  };
}

/**
 * A prompt whose brackets were escaped to be read as text.
 * @param {string} text
 * @returns {string}
 */
export function unescapedPrompt(text) {
  return text.replace(/\\([\\()[\]])/g, "$1");
}

function joinedParts(parts) {
  return parts.map((part) => part.trim()).filter(Boolean).join(" ");
}

function withoutComments(text) {
  return text
    .split("\n")
    .map((line) => [line.includes("#"), line.split("#", 1)[0]])
    .filter(([isMarked, before]) => !isMarked || before.trim())
    .map(([isMarked, before]) => (isMarked ? before.trimEnd() : before))
    .join("\n");
}

// An opened bracket always counts, one that closes nothing is text.
function withoutEmphasis(text) {
  const parts = [];
  const opened = { ")": 0, "]": 0 };
  let hasEmphasis = false;
  let position = 0;
  for (const mark of text.matchAll(BRACKET)) {
    const between = text.slice(position, mark.index);
    const closing = { "(": ")", "[": "]" }[mark[0]];
    position = mark.index + mark[0].length;
    if (closing) {
      parts.push(between);
      hasEmphasis = true;
      opened[closing] += 1;
    } else if (opened[mark[0]] > 0) {
      parts.push(mark[0] === ")" ? between.replace(EMPHASIS_WEIGHT, "") : between);
      opened[mark[0]] -= 1;
    } else {
      parts.push(between, mark[0].at(-1));
    }
  }
  parts.push(text.slice(position));
  return { text: parts.join(""), hasEmphasis };
}
