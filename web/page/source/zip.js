// A ZIP file of files as they are: PNGs do not get smaller (APPNOTE.TXT, §4.3).

const ZIP_MAX_FILES = 65_535; // more, or larger, would need ZIP64
const ZIP_MAX_BYTES = 4_000_000_000;
const UTF8_NAMES = 0x0800;
const ZIP_VERSION = 20;
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) {
    value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  }
  return value;
});

/**
 * Only one file at a time is in memory: the rest is left to the browser.
 * @param {{name: string, blob: Blob, date: number}[]} files distinct names; date: ms since epoch
 * @param {(done: number) => void} [onProgress] called after each file
 * @returns {Promise<Blob>}
 */
export async function zipFiles(files, onProgress = () => {}) {
  const total = files.reduce((sum, { blob }) => sum + blob.size, 0);
  if (files.length > ZIP_MAX_FILES || total > ZIP_MAX_BYTES) {
    throw new Error("That is more than fits into one ZIP file: search first, to download fewer.");
  }
  const parts = [];
  const entries = [];
  let position = 0;
  for (const { name, blob, date } of files) {
    const nameBytes = new TextEncoder().encode(name);
    const checksum = crc32(new Uint8Array(await blob.arrayBuffer()));
    const fields = zipFields(nameBytes, blob.size, date, checksum);
    const header = zipBytes([[4, 0x04034b50], ...fields]);
    parts.push(header, nameBytes, blob);
    entries.push(zipEntry(fields, position), nameBytes);
    position += header.length + nameBytes.length + blob.size;
    onProgress(entries.length / 2);
  }
  const size = entries.reduce((sum, bytes) => sum + bytes.length, 0);
  const end = zipEnd(files.length, size, position);
  return new Blob([...parts, ...entries, end], { type: "application/zip" });
}

/**
 * @param {Uint8Array} bytes
 * @returns {number} CRC-32 as in ZIP and PNG
 */
export function crc32(bytes) {
  let value = 0xffffffff;
  for (let index = 0; index < bytes.length; index += 1) {
    value = CRC_TABLE[(value ^ bytes[index]) & 0xff] ^ (value >>> 8);
  }
  return (value ^ 0xffffffff) >>> 0;
}

// What a file's header and its entry in the directory share, as [bytes, value].
function zipFields(nameBytes, size, date, checksum) {
  const [time, day] = dosTime(new Date(date));
  return [
    [2, ZIP_VERSION],
    [2, UTF8_NAMES],
    [2, 0], // not compressed
    [2, time],
    [2, day],
    [4, checksum],
    [4, size],
    [4, size],
    [2, nameBytes.length],
    [2, 0], // no extra field
  ];
}

// No comment, on the first disk, no attributes.
function zipEntry(fields, position) {
  const rest = [[2, 0], [2, 0], [2, 0], [4, 0], [4, position]];
  return zipBytes([[4, 0x02014b50], [2, ZIP_VERSION], ...fields, ...rest]);
}

function zipEnd(count, size, position) {
  return zipBytes([[4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, size],
    [4, position], [2, 0]]);
}

function zipBytes(fields) {
  const size = fields.reduce((sum, [bytes]) => sum + bytes, 0);
  const view = new DataView(new ArrayBuffer(size));
  let position = 0;
  for (const [bytes, value] of fields) {
    bytes === 4 ? view.setUint32(position, value, true) : view.setUint16(position, value, true);
    position += bytes;
  }
  return new Uint8Array(view.buffer);
}

// In local time, to two seconds, from 1980 on.
function dosTime(date) {
  const year = Math.min(Math.max(date.getFullYear() - 1980, 0), 127);
  return [
    (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1),
    (year << 9) | ((date.getMonth() + 1) << 5) | date.getDate(),
  ];
}
