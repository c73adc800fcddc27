// All jobs of this page: started, stopped, found again after a reload. Nothing of it is seen here.

import { Course } from "./course.js";
import { JobMemory } from "./job-memory.js";
import { isOver, isWhollyKept } from "./job-view.js";

const JOB_ID_BYTES = 16;

/** Event "change", whose detail is the JobView that did. */
export class Jobs extends EventTarget {
  #courses = new Map();
  #memory = new JobMemory();
  #options;

  /**
   * @param {object} [options]
   *   keep: (record, blob) => Promise<boolean>, puts a picture into the history;
   *   isVisible: () => whether somebody looks at the page;
   *   clock: {now(), pause(ms, signal)}
   */
  constructor({ keep = async () => true, isVisible = () => true, clock = WALL_CLOCK } = {}) {
    super();
    this.#options = { keep, isVisible, clock, memory: this.#memory };
    this.#memory.onForeignChange(() => this.#follow());
  }

  /** @returns {object[]} the views, newest first */
  list() {
    const views = [...this.#courses.values()].map(({ view }) => view);
    return views.reverse().sort((one, other) => other.created - one.created);
  }

  /**
   * Draws. What is over and kept makes room.
   * @param {object} settings
   * @returns {string} the job's id, chosen here: a request whose answer is lost can be repeated
   */
  start(settings) {
    for (const view of this.list()) {
      if (isOver(view) && isWhollyKept(view)) {
        this.dismiss(view.id);
      }
    }
    const entry = { id: makeJobId(), settings, created: this.#options.clock.now(), kept: [] };
    this.#memory.add(entry);
    this.#run(entry, { isResumed: false });
    return entry.id;
  }

  /** Takes up the jobs of the page before. */
  resume() {
    this.#takeUp(this.#memory.entries());
  }

  stop(id) {
    this.#courses.get(id)?.stop();
  }

  /**
   * The job that Stop and Esc mean: the newest that waits or is drawn, which is the top one.
   * @returns {object|undefined} its view
   */
  stoppable() {
    return this.list().find((view) => !isOver(view) && !view.isStopping);
  }

  /** Draws a job that failed or was stopped once more. */
  retry(id) {
    const { settings } = this.#courses.get(id).view;
    this.dismiss(id);
    return this.start(settings);
  }

  /** Shows a job that is over no longer. */
  dismiss(id) {
    const course = this.#courses.get(id);
    if (course && isOver(course.view)) {
      this.#courses.delete(id);
      this.#memory.forget(id);
      course.discard();
      this.#tell(course.view);
    }
  }

  /** The service answers again: those that lost it need not wait. */
  reconnect() {
    for (const course of this.#courses.values()) {
      if (course.view.phase === "lost") {
        course.wake();
      }
    }
  }

  // What another tab started is shown here too, and what it stopped is not sent from here.
  #follow() {
    const entries = new Map(this.#memory.entries().map((entry) => [entry.id, entry]));
    for (const { view } of this.#courses.values()) {
      const entry = entries.get(view.id);
      const isStopped = entry ? entry.isStopping : view.phase === "full";
      if (isStopped && !view.isStopping && !isOver(view)) {
        this.stop(view.id);
      }
    }
    // One that is on its way there the service does not know yet.
    this.#takeUp(this.#memory.entries().filter(({ isSent }) => isSent));
  }

  // From then on the service can be asked for it.
  #noteSent(entry, { id, document, phase }) {
    if (!entry.isSent && (document || phase === "full")) {
      entry.isSent = true;
      this.#memory.update(id, { isSent: true });
    }
  }

  // Those that this page does not know.
  #takeUp(entries) {
    for (const entry of entries) {
      if (!this.#courses.has(entry.id)) {
        this.#run(entry, { isResumed: true });
      }
    }
  }

  #run(entry, { isResumed }) {
    const isFirst = (view) => view === this.#first();
    const changed = (view) => {
      this.#noteSent(entry, view);
      this.#tell(view);
    };
    const course = new Course(entry, { ...this.#options, isResumed, isFirst, changed });
    this.#courses.set(entry.id, course);
    this.#tell(course.view);
    course.run().then(() => this.#courses.get(this.#first()?.id)?.wake());
  }

  // Only this one has a request that waits for changes: a browser has six connections to a
  // service, for all tabs, and more requests that wait would leave none to draw or stop with.
  #first() {
    return this.list().findLast((view) => !isOver(view) && view.phase !== "full");
  }

  #tell(view) {
    this.dispatchEvent(new CustomEvent("change", { detail: view }));
  }
}

const WALL_CLOCK = {
  now: () => Date.now(),
  pause: (ms, signal) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    }),
};

function makeJobId() {
  const bytes = crypto.getRandomValues(new Uint8Array(JOB_ID_BYTES));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
