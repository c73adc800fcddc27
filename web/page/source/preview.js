// What a picture looks like while it is drawn.

import { getBlob } from "./api.js";

/** The newest preview of one job. Nobody waits for it: one that does not come holds nothing up. */
export class Preview {
  url = null;
  #version = 0;
  #isFetching = false;

  /**
   * Fetches it, unless it is there or one is on its way.
   * @param {{url: string, version: number}} preview
   * @param {() => boolean} isWanted asked once it is there
   * @returns {Promise<boolean>} whether there is another one to see
   */
  async fetch({ url, version }, isWanted) {
    if (this.#isFetching || version === this.#version) {
      return false;
    }
    this.#isFetching = true;
    try {
      const blob = await getBlob(url);
      if (isWanted() && blob.size > 0) { // empty: the service has none any more
        this.#version = version;
        this.#replace(URL.createObjectURL(blob));
        return true;
      }
    } catch {
      // The next one may come.
    } finally {
      this.#isFetching = false;
    }
    return false;
  }

  clear() {
    this.#replace(null);
  }

  #replace(url) {
    if (this.url) {
      URL.revokeObjectURL(this.url);
    }
    this.url = url;
  }
}
