// The history on disk: pictures and their records in IndexedDB, and in memory where there is none.

const DATABASE = "diffusion";
const RECORDS = "records";
const FILES = "files";
const CHANNEL = "diffusion.history";
const OPEN_LIMIT_MS = 8000; // some browsers never answer

export const NOTHING_KEPT =
  "This browser keeps nothing here (a private window, or its settings): download the pictures " +
  "that you want before you close the page.";

/** What the browser's storage could not do, as a sentence. */
export class StoreError extends Error {}

/**
 * Opens what there is: where the browser keeps nothing, a store whose `problem` says so.
 * @returns {Promise<Store|MemoryStore>}
 */
export async function openStore() {
  try {
    const store = new Store();
    await store.check();
    return store;
  } catch (error) {
    if (error instanceof StoreError) {
      return new MemoryStore(error.message);
    }
    throw error;
  }
}

/** In IndexedDB. Event "change": another tab added or removed pictures. */
export class Store extends EventTarget {
  problem = "";
  #database = null;
  #channel = null;

  constructor() {
    super();
    if (typeof BroadcastChannel === "function") {
      this.#channel = new BroadcastChannel(CHANNEL);
      this.#channel.onmessage = () => this.dispatchEvent(new Event("change"));
    }
  }

  /** @throws {StoreError} if nothing can be kept */
  async check() {
    await this.#run("readonly", (records) => records.count());
  }

  /**
   * The same key again replaces what there was.
   * @param {object} record
   * @param {Blob} blob
   */
  async add(record, blob) {
    await this.#run("readwrite", (records, files) => {
      files.put(blob, record.key);
      return records.put(record);
    });
    this.#tell();
  }

  /** @returns {Promise<object[]>} newest first */
  async records() {
    return newestFirst(await this.#run("readonly", (records) => records.getAll()));
  }

  /** @returns {Promise<Blob|null>} null if it was removed */
  async file(key) {
    return (await this.#run("readonly", (_, files) => files.get(key))) ?? null;
  }

  /** @param {string[]} keys */
  async remove(keys) {
    await this.#run("readwrite", (records, files) => {
      for (const key of keys) {
        records.delete(key);
        files.delete(key);
      }
    });
    this.#tell();
  }


  close() {
    this.#channel?.close();
    this.#database?.then((database) => database.close(), () => {});
  }

  #tell() {
    this.#channel?.postMessage("change");
  }

  // Opened again after the browser closed it, as it does when somebody clears the site's data.
  async #open() {
    const forget = () => (this.#database = null);
    this.#database ??= openDatabase(forget);
    try {
      return await this.#database;
    } catch (error) {
      forget();
      throw error;
    }
  }

  // The request's result once everything is on disk.
  async #run(mode, act) {
    const database = await this.#open();
    return new Promise((resolve, reject) => {
      try {
        const transaction = database.transaction([RECORDS, FILES], mode);
        const request = act(transaction.objectStore(RECORDS), transaction.objectStore(FILES));
        transaction.oncomplete = () => resolve(request?.result);
        transaction.onabort = () => reject(inWords(transaction.error));
      } catch (error) {
        reject(inWords(error));
      }
    });
  }
}

/** Until the page is closed. */
export class MemoryStore extends EventTarget {
  #kept = new Map();

  /** @param {string} problem why nothing is kept for longer, as a sentence */
  constructor(problem) {
    super();
    this.problem = problem;
  }

  async add(record, blob) {
    this.#kept.set(record.key, { record, blob });
  }

  async records() {
    return newestFirst([...this.#kept.values()].map(({ record }) => record));
  }

  async file(key) {
    return this.#kept.get(key)?.blob ?? null;
  }

  async remove(keys) {
    keys.forEach((key) => this.#kept.delete(key));
  }

}

/**
 * @param {object[]} records
 * @returns {object[]} sorted in place
 */
export function newestFirst(records) {
  return records.sort((one, other) => other.created - one.created || other.number - one.number);
}

function openDatabase(forget) {
  return new Promise((resolve, reject) => {
    const fail = (error) => {
      const isFull = error?.name === "QuotaExceededError";
      reject(isFull ? inWords(error) : new StoreError(NOTHING_KEPT));
    };
    setTimeout(fail, OPEN_LIMIT_MS);
    try {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore(RECORDS, { keyPath: "key" });
        request.result.createObjectStore(FILES);
      };
      request.onerror = () => fail(request.error);
      request.onsuccess = () => {
        request.result.onclose = forget;
        request.result.onversionchange = () => {
          request.result.close();
          forget();
        };
        resolve(request.result);
      };
    } catch (error) {
      fail(error);
    }
  });
}

function inWords(error) {
  if (error?.name === "QuotaExceededError") {
    return new StoreError(
      "The browser's storage is full: download the pictures that you want, then delete some.",
    );
  }
  return new StoreError(
    `The browser's storage failed (${error?.name ?? "no reason given"}): reload the page.`,
  );
}
