// The text chunks of a PNG (PNG specification, third edition, §5.3 and §11.3.3).

export const MAX_TEXT_BYTES = 1_000_000;

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const PNG_MAX_TEXTS = 64;

/**
 * @param {ArrayBuffer} buffer
 * @returns {boolean}
 */
export function isPng(buffer) {
  const start = new Uint8Array(buffer.slice(0, PNG_SIGNATURE.length));
  return start.length === 8 && PNG_SIGNATURE.every((byte, index) => start[index] === byte);
}

/**
 * The texts by their keywords. What is damaged, too long or too many is left out: a picture
 * that was cut off still says what comes before the cut.
 * @param {ArrayBuffer} buffer
 * @returns {Promise<Map<string, string>>}
 */
export async function pngTexts(buffer) {
  const texts = new Map();
  if (!isPng(buffer)) {
    return texts;
  }
  for (const { kind, data } of pngTextChunks(buffer)) {
    const found = await pngText(kind, data);
    if (found) {
      texts.set(found.keyword, found.text);
    }
  }
  return texts;
}

function pngTextChunks(buffer) {
  const view = new DataView(buffer);
  const chunks = [];
  let position = PNG_SIGNATURE.length;
  while (position + 8 <= view.byteLength && chunks.length < PNG_MAX_TEXTS) {
    const size = view.getUint32(position);
    const kind = latin1(new Uint8Array(buffer, position + 4, 4));
    const start = position + 8;
    if (kind === "IEND" || start + size > view.byteLength) {
      break;
    }
    if (["tEXt", "zTXt", "iTXt"].includes(kind) && size <= MAX_TEXT_BYTES) {
      chunks.push({ kind, data: new Uint8Array(buffer, start, size) });
    }
    position = start + size + 4; // 4: the checksum
  }
  return chunks;
}

async function pngText(kind, data) {
  const end = data.indexOf(0);
  if (end < 1) {
    return null;
  }
  const keyword = latin1(data.subarray(0, end));
  const rest = data.subarray(end + 1);
  if (kind === "tEXt") {
    return { keyword, text: latin1(rest) };
  }
  if (kind === "zTXt") {
    const bytes = rest[0] === 0 ? await inflated(rest.subarray(1)) : null;
    return bytes && { keyword, text: latin1(bytes) };
  }
  return internationalText(keyword, rest);
}

// Flag, method, language, zero, translated keyword, zero, text.
async function internationalText(keyword, rest) {
  const language = rest.indexOf(0, 2);
  const translated = language < 0 ? -1 : rest.indexOf(0, language + 1);
  if (translated < 0) {
    return null;
  }
  const text = rest.subarray(translated + 1);
  const bytes = rest[0] === 1 ? await inflated(text) : text;
  return bytes && { keyword, text: new TextDecoder().decode(bytes) };
}

// Not TextDecoder("latin1"), which reads windows-1252.
function latin1(bytes) {
  const parts = [];
  for (let start = 0; start < bytes.length; start += 8192) {
    parts.push(String.fromCharCode(...bytes.subarray(start, start + 8192)));
  }
  return parts.join("");
}

// Null if the data are damaged, or grow to more than a text may have.
async function inflated(bytes) {
  const reader = new Blob([bytes])
    .stream()
    .pipeThrough(new DecompressionStream("deflate"))
    .getReader();
  const parts = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return new Uint8Array(await new Blob(parts).arrayBuffer());
      }
      size += value.length;
      if (size > MAX_TEXT_BYTES) {
        await reader.cancel();
        return null;
      }
      parts.push(value);
    }
  } catch {
    return null;
  }
}
