// The jobs that are not over yet, kept in the browser: a reload comes back to them.

const JOBS_KEY = "diffusion.jobs";
const MAX_REMEMBERED = 100;

/**
 * For all tabs of this browser. An entry is {id, settings, created, isSent, isStopping, kept}.
 * kept: the numbers of the pictures that are in the history.
 */
export class JobMemory {
  #fallback = []; // where the browser keeps nothing

  /** @returns {object[]} oldest first */
  entries() {
    try {
      const text = localStorage.getItem(JOBS_KEY);
      return text === null ? this.#fallback : JSON.parse(text).filter(isEntry);
    } catch {
      return this.#fallback;
    }
  }

  add(entry) {
    this.#write([...this.entries(), entry].slice(-MAX_REMEMBERED));
  }

  /** Changes an entry that is still there. */
  update(id, changes) {
    const changed = (entry) => (entry.id === id ? { ...entry, ...changes } : entry);
    this.#write(this.entries().map(changed));
  }

  forget(id) {
    this.#write(this.entries().filter((entry) => entry.id !== id));
  }

  /**
   * Puts a picture into the history, unless it was there before: it may be deleted by now.
   * @param {{jobId: string, number: number}} record
   * @param {() => Promise<boolean>} keep
   * @returns {Promise<boolean>} whether a reload may forget it
   */
  async keep({ jobId, number }, keep) {
    const kept = () => this.entries().find(({ id }) => id === jobId)?.kept ?? [];
    if (!kept().includes(number)) {
      if (!(await keep())) {
        return false;
      }
      this.update(jobId, { kept: [...kept(), number] });
    }
    return true;
  }

  /** @param {Function} act called when another tab changed the entries */
  onForeignChange(act) {
    globalThis.addEventListener?.("storage", (event) => {
      if (event.key === JOBS_KEY) {
        act();
      }
    });
  }

  #write(entries) {
    this.#fallback = entries;
    try {
      localStorage.setItem(JOBS_KEY, JSON.stringify(entries));
    } catch {
      // The page then knows them until it is closed.
    }
  }
}

function isEntry(entry) {
  return (
    typeof entry?.id === "string" &&
    typeof entry.settings === "object" &&
    typeof entry.created === "number" &&
    Array.isArray(entry.kept)
  );
}
