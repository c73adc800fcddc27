// How a job is at a moment, for those who show it.

const OVER_PHASES = ["done", "failed", "stopped"];

/**
 * @typedef {object} JobView
 * @property {string} id
 * @property {object} settings
 * @property {number} created ms since the epoch
 * @property {string} phase "sending", "full" (waits to be taken), "queued", "drawing",
 *   "collecting", "done", "failed", "stopped", or "lost" while the service does not answer
 * @property {boolean} isStopping
 * @property {object|null} document the service's last word, which came at documentAt
 * @property {number} documentAt
 * @property {number} drawingSince 0 before; drawingFrom: the step that it was at then
 * @property {number} drawingFrom
 * @property {string|null} previewUrl
 * @property {{record: object, url: string, isKept: boolean}[]} pictures
 * @property {string} error a sentence
 * @property {number|null} retryAt when it tries again by itself
 */

/** @returns {JobView} */
export function makeView({ id, settings, created, isStopping = false }) {
  return {
    ...{ id, settings, created, isStopping },
    phase: "sending",
    document: null,
    documentAt: 0,
    drawingSince: 0,
    drawingFrom: 0,
    previewUrl: null,
    pictures: [],
    error: "",
    retryAt: null,
  };
}

/**
 * Whether nothing more comes of it.
 * @param {JobView} view
 * @returns {boolean}
 */
export function isOver(view) {
  return OVER_PHASES.includes(view.phase);
}

/**
 * Whether the history has all its pictures.
 * @param {JobView} view
 * @returns {boolean}
 */
export function isWhollyKept(view) {
  return view.pictures.every((picture) => picture.isKept);
}
