// Requests to the service: every one goes through here.

import { currentKey, hasOtherKey } from "./key.js";

const REQUEST_LIMIT_MS = 60_000;
const KEY_WANTED_STATUS = 401;
const LOST_IN_BETWEEN = [502, 503, 504]; // where a proxy, not the service, says so

/** Why a request has no answer to work with. `message` is a sentence with what to do. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, code?: string, retryAfterSeconds?: number|null}} facts
   *   status: 0 if there was no answer. code: the service's word, "" if it said none
   */
  constructor(message, { status = 0, code = "", retryAfterSeconds = null } = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** Whether the service itself was not reached: another try may reach it. */
  get isLost() {
    return this.status === 0 || (LOST_IN_BETWEEN.includes(this.status) && this.code === "");
  }
}

/**
 * @param {string} path
 * @param {AbortSignal} [signal] whose abort is passed on as it is
 * @param {number} [limitMs] after which a connection that hangs counts as lost
 * @returns {Promise<any>}
 * @throws {ApiError}
 */
export async function getJson(path, signal, limitMs) {
  return request(path, { signal, limitMs, read: readJson });
}

/** As `getJson`. */
export async function postJson(path, body, signal) {
  return request(path, { method: "POST", body, signal, read: readJson });
}

/** As `getJson`. */
export async function deleteJson(path) {
  return request(path, { method: "DELETE", read: readJson });
}

/** As `getJson`. @returns {Promise<Blob>} */
export async function getBlob(path, signal) {
  return request(path, { signal, read: (response) => response.blob() });
}

/**
 * The service's one line as a sentence.
 * @param {string} text
 * @returns {string}
 */
export function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

// Again with each other key, once the service has asked for one.
async function request(path, options) {
  for (;;) {
    const key = currentKey();
    try {
      return await requestOnce(path, key, options);
    } catch (error) {
      if (error.status !== KEY_WANTED_STATUS || !(await hasOtherKey(key))) {
        throw error;
      }
    }
  }
}

async function requestOnce(
  path,
  key,
  { method = "GET", body, signal, limitMs = REQUEST_LIMIT_MS, read },
) {
  const stop = new AbortController();
  const passOn = () => stop.abort();
  signal?.addEventListener("abort", passOn);
  const timer = setTimeout(passOn, limitMs);
  try {
    signal?.throwIfAborted();
    const asked = { ...requestOptions(method, body, key), signal: stop.signal };
    const response = await fetch(path, asked);
    if (!response.ok) {
      throw await refusal(response);
    }
    return await read(response);
  } catch (error) {
    if (signal?.aborted || error instanceof ApiError) {
      throw error;
    }
    throw stop.signal.aborted ? tooLate(limitMs) : unanswered();
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", passOn);
  }
}

function requestOptions(method, body, key) {
  const options = { method, cache: "no-store", headers: {} };
  if (key !== "") {
    options.headers.authorization = `Bearer ${key}`;
  }
  if (body !== undefined) {
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  return options;
}

async function readJson(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(
      "Something else than the service answered: check that nothing in between asks for a login.",
    );
  }
}

// The service says why in JSON; a proxy in front of it says what it likes.
async function refusal(response) {
  const { status } = response;
  let said = null;
  try {
    said = JSON.parse(await response.text()).error;
  } catch {
    // Its status must do.
  }
  if (typeof said?.message !== "string") {
    return new ApiError(`The service answered with status ${status}: try again.`, { status });
  }
  return new ApiError(sentence(said.message), {
    status,
    code: String(said.code ?? ""),
    retryAfterSeconds: said.retryAfterSeconds ?? retryAfter(response),
  });
}

function retryAfter(response) {
  const seconds = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
  return Number.isNaN(seconds) ? null : seconds;
}

function tooLate(limitMs) {
  const seconds = Math.round(limitMs / 1000);
  return new ApiError(`The service did not answer within ${seconds} s: check that it runs.`);
}

function unanswered() {
  return new ApiError("The service does not answer: check that it runs, and your connection.");
}
