// The service in words: its state and model servers, the model, the limits.

import { makeElement } from "./charts.js";
import { secondsInWords } from "./scales.js";

const STATE_WORDS = {
  ready: "ready",
  loading: "loading",
  unreachable: "not reachable",
  draining: "stopping",
};
const API_WORDS = { native: "its own", openai: "OpenAI", a1111: "AUTOMATIC1111" };

/**
 * @param {[string, string|number|null|undefined][]} facts those without a value are left out
 * @returns {HTMLDListElement}
 */
export function factList(facts) {
  const known = facts.filter(([, value]) => value !== null && value !== undefined && value !== "");
  const entries = known.flatMap(([name, value]) => [
    makeElement("dt", {}, name),
    makeElement("dd", {}, String(value)),
  ]);
  return makeElement("dl", { class: "facts" }, ...entries);
}

/** A card's content: how the service is at present. */
export function nowFacts(status) {
  const facts = factList([
    ["State", STATE_WORDS[status.state] ?? status.state],
    ["Drawing", countInWords(status.drawing, "job")],
    ["Waiting", countInWords(status.queued, "job")],
    ["Running for", secondsInWords(status.uptimeSeconds)],
  ]);
  return [facts, makeElement("h3", {}, "Model servers"), serverTable(status.modelServers)];
}

/** A card's content: which model it is. */
export function modelFacts(capabilities) {
  const { model, limits, version } = capabilities;
  if (!model) {
    const words = "Not known yet: no model server has said what it serves.";
    return [makeElement("p", { class: "hint" }, words), factList([["Service version", version]])];
  }
  return [
    factList([
      ["Family", model.family],
      ["Fingerprint", model.fingerprint],
      ["Size", `${limits.imageSize} × ${limits.imageSize} pixels`],
      ["Sampler", model.samplers.join(", ")],
      ["Profile", model.profile],
      ["Precision", model.precision],
      ["Licence", model.licence],
      ["Progress", progressInWords(capabilities)],
      ["Service version", version],
    ]),
  ];
}

/** A card's content: what may be asked for, and how. */
export function limitFacts(capabilities) {
  const { limits, formats, apis } = capabilities;
  return [
    factList([
      ["Steps", `${limits.defaultSteps}, from ${limits.minSteps} to ${limits.maxSteps}`],
      ["Guidance", `${limits.defaultGuidanceScale}, up to ${limits.maxGuidanceScale}`],
      ["Pictures at once", `up to ${limits.maxCount}`],
      ["Prompt", `up to ${limits.maxPromptTokens - 2} tokens`],
      ["Queue", countInWords(limits.queue, "job")],
      ["Deadline", secondsInWords(limits.deadlineSeconds)],
      ["Formats", formats.map((format) => format.toUpperCase()).join(", ")],
      ["APIs", apis.map((api) => API_WORDS[api] ?? api).join(", ")],
    ]),
  ];
}

function countInWords(count, word) {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

function progressInWords({ progress, previews }) {
  const kind = progress === "real" ? "as it draws" : "estimated";
  return `${kind}, ${previews ? "with" : "without"} previews`;
}

function serverTable(servers) {
  const heads = ["Address", "State", "A step takes"];
  const rows = servers.map((server) =>
    makeElement(
      "tr",
      {},
      makeElement("th", { scope: "row" }, server.endpoint),
      makeElement("td", {}, server.busy ? "drawing" : STATE_WORDS[server.state] ?? server.state),
      makeElement("td", {}, secondsInWords(server.secondsPerStep)),
    ),
  );
  return smallTable("Model servers", heads, rows);
}

/** A table that scrolls by itself where it is too wide. */
export function smallTable(label, heads, rows) {
  const head = heads.map((name) => makeElement("th", { scope: "col" }, name));
  const table = makeElement(
    "table",
    { "aria-label": label },
    makeElement("thead", {}, makeElement("tr", {}, ...head)),
    makeElement("tbody", {}, ...rows),
  );
  const scrolls = { class: "table-wrap", tabindex: 0, role: "region", "aria-label": label };
  return makeElement("div", scrolls, table);
}
