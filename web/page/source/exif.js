// The comment in the EXIF data of a JPEG or WebP (Exif 2.32, §4.6.5: UserComment).

const EXIF_FOLDER_TAG = 0x8769;
const USER_COMMENT_TAG = 0x9286;
const CHARACTER_CODE_BYTES = 8;
const EXIF_MAX_ENTRIES = 1000;

/**
 * @param {ArrayBuffer} buffer the file
 * @returns {string|null} null where there is no comment, or the file is damaged
 */
export function exifComment(buffer) {
  try {
    const data = exifOfJpeg(buffer) ?? exifOfWebp(buffer);
    return data && userComment(data);
  } catch (error) {
    if (error instanceof RangeError) {
      return null; // it points beyond its end
    }
    throw error;
  }
}

/**
 * @param {ArrayBuffer} buffer
 * @returns {boolean} whether the file starts as a JPEG or a WebP does
 */
export function isJpegOrWebp(buffer) {
  const view = new DataView(buffer);
  return (
    (view.byteLength > 3 && view.getUint16(0) === 0xffd8) ||
    (view.byteLength > 12 && marks(view, 0, "RIFF") && marks(view, 8, "WEBP"))
  );
}

function marks(view, position, text) {
  return [...text].every((mark, index) => view.getUint8(position + index) === mark.charCodeAt(0));
}

function exifOfJpeg(buffer) {
  const view = new DataView(buffer);
  if (view.getUint16(0) !== 0xffd8) {
    return null;
  }
  let position = 2;
  while (view.getUint8(position) === 0xff && view.getUint8(position + 1) !== 0xda) {
    const size = view.getUint16(position + 2);
    if (view.getUint8(position + 1) === 0xe1 && marks(view, position + 4, "Exif\0\0")) {
      return new DataView(buffer, position + 10, size - 8);
    }
    position += 2 + size;
  }
  return null;
}

function exifOfWebp(buffer) {
  const view = new DataView(buffer);
  if (!marks(view, 0, "RIFF")) {
    return null;
  }
  let position = 12;
  for (;;) {
    const size = view.getUint32(position + 4, true);
    if (marks(view, position, "EXIF")) {
      const start = position + 8 + (marks(view, position + 8, "Exif\0\0") ? 6 : 0);
      return new DataView(buffer, start, position + 8 + size - start);
    }
    position += 8 + size + (size % 2);
  }
}

function userComment(data) {
  const isLittle = data.getUint16(0) === 0x4949; // "II"
  const folder = exifEntry(data, data.getUint32(4, isLittle), EXIF_FOLDER_TAG, isLittle);
  if (folder === null) {
    return null;
  }
  const start = data.getUint32(folder + 8, isLittle);
  const entry = exifEntry(data, start, USER_COMMENT_TAG, isLittle);
  if (entry === null) {
    return null;
  }
  const size = data.getUint32(entry + 4, isLittle);
  const place = data.getUint32(entry + 8, isLittle);
  return commentText(new Uint8Array(data.buffer, data.byteOffset + place, size));
}

// Where the entry of a tag starts: tag, type, number of values, place or value.
function exifEntry(data, folder, tag, isLittle) {
  const count = Math.min(data.getUint16(folder, isLittle), EXIF_MAX_ENTRIES);
  for (let index = 0; index < count; index += 1) {
    const entry = folder + 2 + index * 12;
    if (data.getUint16(entry, isLittle) === tag) {
      return entry;
    }
  }
  return null;
}

function commentText(bytes) {
  const code = String.fromCharCode(...bytes.subarray(0, CHARACTER_CODE_BYTES));
  const text = bytes.subarray(CHARACTER_CODE_BYTES);
  return new TextDecoder(code.startsWith("UNICODE") ? utf16Order(text) : "utf-8").decode(text);
}

// Programs disagree about the order, whatever the rest of the file has. Every infotext has
// letters of Latin, whose high byte is zero.
function utf16Order(bytes) {
  let balance = 0;
  bytes.forEach((byte, index) => {
    if (byte === 0) {
      balance += index % 2 === 0 ? 1 : -1;
    }
  });
  return balance > 0 ? "utf-16be" : "utf-16le";
}
