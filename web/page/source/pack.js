// Many pictures of the history as one download.

import { distinctNames, fileName } from "./files.js";
import { zipFiles } from "./zip.js";

/**
 * @param {object[]} records
 * @param {(key: string) => Promise<Blob|null>} file what is gone meanwhile is left out
 * @param {(text: string) => void} tell how far it is
 * @returns {Promise<Blob>} a ZIP file
 */
export async function packRecords(records, file, tell) {
  const names = distinctNames(records.map(fileName));
  const files = [];
  for (const [index, { key, created }] of records.entries()) {
    const blob = await file(key);
    if (blob) {
      files.push({ name: names[index], blob, date: created });
    }
  }
  return zipFiles(files, (done) => tell(`Packing ${done} of ${files.length} …`));
}

/**
 * @param {number} count
 * @returns {string}
 */
export function picturesInWords(count) {
  return count === 1 ? "1 picture" : `${count} pictures`;
}
