// How a job is, in words and as a part of the whole.

import { isOver } from "./job-view.js";
import { secondsInWords } from "./scales.js";

const MOST_OF_IT = 0.99; // only a picture that is there is 100 %
const QUARTERS = 4;

/**
 * @param {JobView} view
 * @param {object|null} capabilities
 * @param {number} now
 * @returns {number|null} from 0 to 1; null while nobody can know
 */
export function jobFraction(view, capabilities, now) {
  const { phase, document, drawingSince } = view;
  if (phase === "done") {
    return 1;
  }
  if (phase === "collecting") {
    return MOST_OF_IT;
  }
  if (!document || document.wakingSeconds !== null || !["drawing", "lost"].includes(phase)) {
    return null;
  }
  if (capabilities?.progress !== "estimated") {
    return Math.min(document.progress, MOST_OF_IT);
  }
  const left = secondsLeft(view, now);
  if (left === null) {
    return null;
  }
  const gone = (now - drawingSince) / 1000;
  return Math.min(Math.max(document.progress, gone / (gone + left || 1)), MOST_OF_IT);
}

/**
 * @param {JobView} view
 * @param {object|null} capabilities
 * @param {number} now
 * @returns {string} such as "Step 12 of 20 · about 3 s left"
 */
export function jobStatus(view, capabilities, now) {
  if (view.isStopping && !isOver(view)) {
    return view.phase === "lost" ? "Stopping, once the service answers …" : "Stopping …";
  }
  switch (view.phase) {
    case "sending":
      return "Sending …";
    case "full":
      return `Trying again ${inSeconds(view.retryAt - now)}`;
    case "queued":
      return joinedFacts(placeInWords(view.document.place), readyIn(view, now));
    case "drawing":
      return view.document.wakingSeconds === null
        ? joinedFacts(...stepsInWords(view, capabilities), timeLeft(view, now))
        : wakingInWords(view, now);
    case "collecting":
      return "Fetching the picture …";
    case "lost":
      return "Trying to reach it again …";
    case "stopped":
      return joinedFacts("Stopped", keptInWords(view));
    case "failed":
      return keptInWords(view);
    default:
      return joinedFacts(...doneInWords(view));
  }
}

/**
 * What is to be heard of a change, if anything: a new phase, and every quarter.
 * @param {{phase: string, quarter: number}|undefined} before as the last call answered it
 * @param {JobView} view
 * @param {object|null} capabilities
 * @param {number} now
 * @returns {{phase: string, quarter: number, text: string}}
 */
export function jobNews(before, view, capabilities, now) {
  const { phase } = view;
  const fraction = phase === "drawing" ? (jobFraction(view, capabilities, now) ?? 0) : 0;
  const quarter = Math.floor(fraction * QUARTERS);
  let text = "";
  if (phase !== before?.phase) {
    text = phaseInWords(view);
  } else if (quarter > before.quarter) {
    text = `${(quarter * 100) / QUARTERS} percent`;
  }
  return { phase, quarter, text };
}

function phaseInWords({ phase, document, error, pictures }) {
  switch (phase) {
    case "queued":
      return placeInWords(document.place);
    case "drawing":
      return "Drawing";
    case "done":
      return pictures.length > 1 ? `${pictures.length} pictures are ready` : "The picture is ready";
    case "stopped":
      return "Stopped";
    case "full":
    case "failed":
    case "lost":
      return error;
    default:
      return "";
  }
}

// The service's estimate, or what this job's own pace says if that is more.
function secondsLeft(view, now) {
  const { document, documentAt, drawingSince, drawingFrom } = view;
  const drawn = document.step - drawingFrom;
  const pace = drawingSince && drawn > 0 ? (documentAt - drawingSince) / 1000 / drawn : 0;
  if (document.secondsLeft === null && pace === 0) {
    return null;
  }
  const left = Math.max(document.secondsLeft ?? 0, pace * (document.steps - document.step));
  return Math.max(left - (now - documentAt) / 1000, 0);
}

function readyIn(view, now) {
  const seconds = secondsLeft(view, now);
  return seconds >= 1 ? `ready in about ${secondsInWords(Math.round(seconds))}` : "";
}

function timeLeft(view, now) {
  const seconds = secondsLeft(view, now);
  if (seconds === null) {
    return "";
  }
  if (seconds < 1) {
    return view.document.progress > 0.5 ? "almost done" : "";
  }
  return `about ${secondsInWords(Math.round(seconds))} left`;
}

// No machine runs yet that could draw it.
function wakingInWords({ document, documentAt }, now) {
  const seconds = Math.round(document.wakingSeconds - (now - documentAt) / 1000);
  const minutes = Math.round(seconds / 60);
  const rest = minutes > 1 ? `${minutes} minutes` : secondsInWords(seconds);
  return seconds > 0 ? `Waking a machine, about ${rest}` : "Waking a machine …";
}

function inSeconds(ms) {
  const seconds = Math.ceil(ms / 1000);
  return seconds > 0 ? `in ${seconds} s` : "…";
}

function placeInWords(place) {
  return place <= 1 ? "Next in the queue" : `${ordinal(place)} in the queue`;
}

function ordinal(number) {
  const endings = { one: "st", two: "nd", few: "rd", other: "th" };
  const rule = new Intl.PluralRules("en", { type: "ordinal" }).select(number);
  return `${number}${endings[rule]}`;
}

function stepsInWords({ document }, capabilities) {
  const { count, steps } = document.request;
  const finished = document.pictures.length;
  const picture = count > 1 ? `Picture ${Math.min(finished + 1, count)} of ${count}` : "";
  if (capabilities?.progress === "estimated") {
    return [picture || "Drawing"];
  }
  const step = Math.min(Math.max(document.step - finished * steps, 0), steps);
  return [picture, `${picture ? "step" : "Step"} ${step} of ${steps}`];
}

function doneInWords({ pictures }) {
  const seconds = pictures.reduce((sum, { record }) => sum + record.seconds, 0);
  const [first, last] = [pictures[0], pictures.at(-1)].map((picture) => picture?.record);
  const seeds = pictures.length > 1 ? `seeds ${first.seed} to ${last.seed}` : `seed ${first?.seed}`;
  const size = `${first?.width} × ${first?.height}`;
  return [`Drawn in ${secondsInWords(seconds)}`, seeds, `${first?.steps} steps`, size];
}

function keptInWords({ pictures, document }) {
  const all = document?.request.count ?? 0;
  return pictures.length > 0 ? `${pictures.length} of ${all} pictures are drawn` : "";
}

function joinedFacts(...facts) {
  return facts.filter(Boolean).join(" · ");
}
