// The service, the clock and the browser's storage as the page's modules meet them under Node.js.

const UNTIL_LIMIT_MS = 10_000;
const REQUEST = { negativePrompt: "", guidanceScale: 7.5, count: 1, width: 64, height: 64 };

export class FakeStorage {
  items = new Map();
  isForbidden = false;

  getItem(name) {
    this.#check();
    return this.items.get(name) ?? null;
  }

  setItem(name, value) {
    this.#check();
    this.items.set(name, String(value));
  }

  removeItem(name) {
    this.items.delete(name);
  }

  #check() {
    if (this.isForbidden) {
      throw new DOMException("forbidden", "SecurityError");
    }
  }
}

/** Time passes in pauses alone. */
export class FakeClock {
  time = 1_800_000_000_000;
  pauses = [];

  now() {
    return this.time;
  }

  async pause(ms, signal) {
    this.pauses.push(ms);
    await new Promise((resolve) => setTimeout(resolve, 1)); // a fetch is not done in no time
    if (!signal.aborted) {
      this.time += ms;
    }
  }
}

/** Each look at a job shows its next state; `answer` may give another answer to a request. */
export class FakeService {
  isDown = false;
  requests = [];
  jobs = new Map();
  answer = () => undefined;
  states = ["queued", "drawing", "drawn", "done"];

  install() {
    globalThis.fetch = (path, options) => this.#fetch(path, options);
    return this;
  }

  of(method) {
    return this.requests.filter((request) => request.method === method);
  }

  async #fetch(path, { method, body, signal }) {
    const request = { method, path, body: body && JSON.parse(body) };
    this.requests.push(request);
    await turn();
    if (this.isDown) {
      throw new TypeError("Failed to fetch");
    }
    signal?.throwIfAborted();
    return (await this.answer(request, signal)) ?? this.#usual(request);
  }

  #usual({ method, path, body }) {
    if (method === "POST") {
      const known = this.jobs.get(body.id);
      this.jobs.set(body.id, known ?? { request: body, looks: 0, states: [...this.states] });
      return json(known ? 200 : 202, this.document(body.id));
    }
    const [, id, rest] = path.match(/^\/api\/v1\/jobs\/(\w+)(.*)$/);
    const job = this.jobs.get(id);
    if (!job) {
      return refuse(404, "not_found", "you have no job with this id");
    }
    if (rest.startsWith("/")) {
      return new Response(new Blob([`${id}${rest}`], { type: "image/png" }));
    }
    if (method === "DELETE") {
      job.states = ["cancelled"];
      job.looks += 1;
    } else if (job.states.length > 1) {
      job.states.shift();
      job.looks += 1;
    }
    return json(200, this.document(id));
  }

  document(id) {
    const { request, looks, states } = this.jobs.get(id);
    const [state] = states;
    const preview = `/api/v1/jobs/${id}/preview`;
    const { count, steps, seed } = { ...REQUEST, steps: 20, seed: 1234, ...request };
    const finished = state === "drawn" ? 1 : state === "done" ? count : 0;
    const isFinal = ["done", "failed", "refused", "cancelled"].includes(state);
    return {
      ...{ id, version: looks + 1, place: state === "queued" ? 2 : 0, notes: [] },
      state: ["drawn", "waking"].includes(state) ? "drawing" : state,
      step: finished * steps,
      steps: count * steps,
      progress: finished / count,
      secondsLeft: isFinal ? null : 4,
      wakingSeconds: state === "waking" ? 180 : null,
      created: "2026-11-29T08:00:00Z",
      request: { ...REQUEST, ...request, steps, seed },
      pictures: Array.from({ length: finished }, (_, number) => ({
        ...{ url: `/api/v1/jobs/${id}/pictures/${number}`, seed: seed + number, steps },
        ...{ promptTokens: 5, truncated: false, fingerprint: "f", seconds: 1.5 },
      })),
      preview: state === "drawing" ? { url: preview, version: looks + 1 } : null,
      error: FAULTS[state] ?? null,
    };
  }
}

const FAULTS = {
  failed: { code: "model_server_failed", message: "the model server failed: try again" },
  refused: { code: "shutting_down", message: "the service is stopping", retryAfterSeconds: 3 },
  cancelled: { code: "cancelled", message: "the job was cancelled" },
};

export function json(status, body, headers = {}) {
  return new Response(JSON.stringify(body), { status, headers });
}

export function refuse(status, code, message, headers = {}) {
  return json(status, { error: { code, message, retryAfterSeconds: null } }, headers);
}

export function turn() {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Until it is true; fails with what it says. */
export async function until(isTrue, what) {
  const end = Date.now() + UNTIL_LIMIT_MS;
  while (Date.now() < end) {
    if (isTrue()) {
      return;
    }
    await turn();
  }
  throw new Error(`it never happened: ${what}`);
}
