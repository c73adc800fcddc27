// What was deleted, to be taken back while the page is open.

const BIN_LIMIT = 50; // their files are in memory

/** The last one in is the first one out. */
export class Bin {
  #entries = [];

  get isEmpty() {
    return this.#entries.length === 0;
  }

  /**
   * To be called before the picture is removed: a browser may forget a blob with its storage.
   * @param {object} record
   * @param {Blob} blob
   * @returns {Promise<() => void>} puts it in
   */
  async prepare(record, blob) {
    const thumbnail = record.thumbnail ? await copyBlob(record.thumbnail) : null;
    const entry = { record: { ...record, thumbnail }, blob: await copyBlob(blob) };
    return () => {
      this.#entries = [entry, ...this.#entries].slice(0, BIN_LIMIT);
    };
  }

  /** @returns {{record: object, blob: Blob}|undefined} */
  takeLast() {
    return this.#entries.shift();
  }

  clear() {
    this.#entries = [];
  }
}

async function copyBlob(blob) {
  return new Blob([await blob.arrayBuffer()], { type: blob.type });
}
