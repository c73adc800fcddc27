// The course of one job: sent, watched, its pictures fetched and kept, whatever comes between.

import { ApiError, deleteJson, getBlob, getJson, postJson, sentence } from "./api.js";
import { isOver, isWhollyKept, makeView } from "./job-view.js";
import { Preview } from "./preview.js";
import { recordOf } from "./records.js";

const JOBS_PATH = "/api/v1/jobs";
const LONG_WAIT_SECONDS = 25;
const HIDDEN_WAIT_SECONDS = 5;
const POLL_LIMIT_MS = 45_000;
const LEAST_PAUSE_MS = 100;
const UNHURRIED_PAUSE_MS = 2000;
const LOST_PAUSES_MS = [500, 1000, 2000, 4000, 5000];
const DEFAULT_RETRY_SECONDS = 5;
const RESEND_WITHIN_MS = 600_000; // later nobody waits for it any more
const FINAL_STATES = ["done", "failed", "cancelled", "refused"];
const SERVICE_STOPS = "shutting_down";
const GONE_WORDS = {
  404: "The service was started anew and no longer knows this job: draw it again.",
  410: "The service no longer keeps this job's pictures: draw it again.",
};

/** Runs until the job is over; `view` says at any moment how it is. */
export class Course {
  #options;
  #preview = new Preview();
  #interrupt = new AbortController();
  #mustSend;
  #isUnknownThere; // so that there is nothing to stop
  #isStopSent = false;
  #wasSentAgain = false;
  #failures = 0;

  /**
   * @param {{id: string, settings: object, created: number, isStopping?: boolean}} entry
   * @param {object} options those of Jobs, and
   *   isResumed: whether the service may know the job already;
   *   isFirst: (view) => whether it is watched closely; changed: (view) => void
   */
  constructor(entry, options) {
    this.#options = options;
    this.#mustSend = !options.isResumed;
    this.#isUnknownThere = !options.isResumed;
    this.view = makeView(entry);
  }

  async run() {
    while (!isOver(this.view)) {
      try {
        await this.#step();
        this.#failures = 0;
      } catch (error) {
        await this.#meet(error);
      }
    }
  }

  stop() {
    this.#options.memory.update(this.view.id, { isStopping: true });
    this.#change({ isStopping: true });
    this.wake();
  }

  /** Goes on at once, if it waits. */
  wake() {
    this.#interrupt.abort();
    this.#interrupt = new AbortController();
  }

  /** Gives back what the browser holds for it. */
  discard() {
    this.#preview.clear();
    this.view.pictures.forEach(({ url }) => URL.revokeObjectURL(url));
  }

  get #path() {
    return `${JOBS_PATH}/${this.view.id}`;
  }

  get #mustStop() {
    return this.view.isStopping && !this.#isStopSent;
  }

  async #step() {
    if (this.#mustStop && this.#isUnknownThere) {
      this.#end("stopped");
    } else if (this.#mustStop) {
      const document = await deleteJson(this.#path);
      this.#isStopSent = true;
      this.#mustSend = false;
      await this.#take(document);
    } else if (this.#mustSend) {
      await this.#take(await this.#send());
    } else {
      await this.#take(await this.#ask());
    }
  }

  async #send() {
    const { id, settings, document } = this.view;
    // A second time from the seed of the first: the pictures are the same.
    const seed = document?.request.seed ?? settings.seed ?? undefined;
    this.#isUnknownThere = false; // until the service says so: its answer can be lost
    const answer = await postJson(JOBS_PATH, { id, ...settings, seed });
    this.#mustSend = false;
    return answer;
  }

  #ask() {
    const { document } = this.view;
    if (!document) {
      return getJson(this.#path, this.#interrupt.signal);
    }
    const seconds = this.#options.isVisible() ? LONG_WAIT_SECONDS : HIDDEN_WAIT_SECONDS;
    const wait = this.#options.isFirst(this.view) ? seconds : 0;
    const path = `${this.#path}?wait=${wait}&version=${document.version}`;
    return getJson(path, this.#interrupt.signal, POLL_LIMIT_MS);
  }

  async #take(document) {
    const now = this.#options.clock.now();
    const isDrawing = document.state === "drawing" && document.wakingSeconds === null;
    const isBegun = isDrawing && this.view.drawingSince > 0;
    this.#change({
      document,
      documentAt: now,
      drawingSince: isBegun ? this.view.drawingSince : isDrawing ? now : 0,
      drawingFrom: isBegun ? this.view.drawingFrom : document.step,
      phase: FINAL_STATES.includes(document.state) ? "collecting" : document.state,
      error: "",
      retryAt: null,
    });
    if (isDrawing && document.preview) {
      this.#fetchPreview(document);
    }
    await this.#collect(document);
    if (FINAL_STATES.includes(document.state)) {
      await this.#close(document);
    } else if (!this.#mustStop) {
      const isFirst = this.#options.isFirst(this.view);
      await this.#pause(isFirst ? LEAST_PAUSE_MS : UNHURRIED_PAUSE_MS);
    }
  }

  async #fetchPreview({ preview, pictures }) {
    const isWanted = () =>
      this.view.phase === "drawing" && this.view.document.pictures.length === pictures.length;
    if (await this.#preview.fetch(preview, isWanted)) {
      this.#change({ previewUrl: this.#preview.url });
    }
  }

  async #collect(document) {
    const { memory, keep } = this.#options;
    for (let { length } = this.view.pictures; length < document.pictures.length; length += 1) {
      const blob = await getBlob(document.pictures[length].url);
      const record = recordOf(document, length, blob);
      const isKept = await memory.keep(record, () => keep(record, blob));
      const picture = { record, url: URL.createObjectURL(blob), isKept };
      this.#preview.clear();
      this.#change({ pictures: [...this.view.pictures, picture], previewUrl: null });
    }
  }

  async #close({ state, error }) {
    if (state === "done") {
      this.#end("done");
    } else if (state === "cancelled") {
      this.#end("stopped");
    } else if (error?.code === SERVICE_STOPS && !this.view.isStopping) {
      this.#mustSend = true; // the service's next process takes it
      await this.#waitForRoom(sentence(error.message), error.retryAfterSeconds);
    } else {
      this.#end("failed", sentence(error?.message ?? "The service did not say why: try again"));
    }
  }

  async #meet(error) {
    const { status, message } = error;
    if (error.name === "AbortError") {
      return; // woken
    }
    if (!(error instanceof ApiError)) {
      this.#end("failed", `The page failed (${message}): reload it.`);
    } else if (error.isLost) {
      await this.#waitForService(message);
    } else if (this.view.isStopping && status in GONE_WORDS) {
      this.#end("stopped");
    } else if (!this.#mustSend && status === 404 && this.#canSendAgain()) {
      this.#wasSentAgain = true;
      this.#mustSend = true;
    } else {
      await this.#meetRefusal(error);
    }
  }

  async #meetRefusal({ status, message, retryAfterSeconds }) {
    const isConflict = this.#mustSend && status === 409; // another tab sent it: it is there
    if (this.#mustSend) {
      this.#mustSend = !isConflict;
      this.#isUnknownThere = !isConflict;
    }
    if (status === 503 || status === 429) {
      await this.#waitForRoom(message, retryAfterSeconds);
    } else if (!isConflict) {
      this.#end("failed", GONE_WORDS[status] ?? message);
    }
  }

  #canSendAgain() {
    const { isResumed, clock } = this.#options;
    const isFresh = clock.now() - this.view.created < RESEND_WITHIN_MS;
    return !this.#wasSentAgain && (!isResumed || this.view.document !== null || isFresh);
  }

  async #waitForRoom(error, seconds) {
    const ms = (seconds ?? DEFAULT_RETRY_SECONDS) * 1000;
    // The service's "try again" is for those who would have to.
    const reason = error.replace(/: try again\b.*$/, ".");
    this.#change({ phase: "full", error: reason, retryAt: this.#options.clock.now() + ms });
    if (!(this.#mustStop && this.#isUnknownThere)) {
      await this.#pause(ms);
    }
  }

  async #waitForService(error) {
    const ms = LOST_PAUSES_MS[Math.min(this.#failures, LOST_PAUSES_MS.length - 1)];
    this.#failures += 1;
    this.#change({ phase: "lost", error, retryAt: null });
    await this.#pause(ms);
  }

  #end(phase, error = "") {
    this.#preview.clear();
    if (isWhollyKept(this.view)) {
      this.#options.memory.forget(this.view.id);
    }
    this.#change({ phase, error, previewUrl: null, retryAt: null });
  }

  async #pause(ms) {
    await this.#options.clock.pause(ms, this.#interrupt.signal);
  }

  #change(changes) {
    Object.assign(this.view, changes);
    this.#options.changed(this.view);
  }
}
