// A job's course: what the page sends, shows and keeps, whatever comes between.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Jobs } from "../../../../web/page/source/jobs.js";
import { FakeClock, FakeService, FakeStorage, json, refuse, turn, until } from "./fake-service.mjs";

const SETTINGS = { prompt: "a red circle", steps: 20, count: 1, seed: null };
const JOBS_ITEM = "diffusion.jobs";

let service, clock, kept;

beforeEach(() => {
  kept = new Map();
  clock = new FakeClock();
  service = new FakeService().install();
  globalThis.localStorage = new FakeStorage();
});

function open(options = {}) {
  const keep = async (record, blob) => Boolean(kept.set(record.key, { record, blob }));
  const jobs = new Jobs({ clock, keep, ...options });
  const page = { jobs, phases: [] };
  jobs.addEventListener("change", ({ detail }) => {
    if (page.phases.at(-1) !== detail.phase) {
      page.phases.push(detail.phase);
    }
  });
  return page;
}

function remembered() {
  return JSON.parse(localStorage.getItem(JOBS_ITEM) ?? "[]");
}

async function ended({ jobs }, id, phase = "done") {
  const view = () => jobs.list().find((each) => each.id === id);
  await until(() => view()?.phase === phase, `${phase}, it is ${JSON.stringify(view()?.phase)}`);
  return view();
}

function failOnce(match, answer) {
  let isOver = false;
  service.answer = (request) => {
    if (!isOver && match(request)) {
      isOver = true;
      return answer;
    }
    return undefined;
  };
}

// Answers of the service that do not come until they are let go.
function held(isHeld) {
  const waiting = [];
  service.answer = (request) =>
    isHeld(request) ? new Promise((resolve) => waiting.push(resolve)) : undefined;
  return {
    waiting,
    letGo() {
      service.answer = () => undefined;
      waiting.forEach((resolve) => resolve());
    },
  };
}

test("a job is sent, waits, is drawn, fetched, kept and done", async () => {
  const page = open();
  const view = await ended(page, page.jobs.start(SETTINGS));
  assert.deepEqual(page.phases, ["sending", "queued", "drawing", "collecting", "done"]);
  assert.equal(view.pictures[0].record.seed, 1234);
  assert.equal(kept.get(`${view.id}/0`).record.prompt, "a red circle");
  assert.equal(await kept.get(`${view.id}/0`).blob.text(), `${view.id}/pictures/0`);
  assert.deepEqual(remembered(), []);
});

test("a preview is seen while the picture is drawn, and gone once it is there", async () => {
  service.states = ["drawing"];
  const page = open();
  const id = page.jobs.start(SETTINGS);
  await until(() => page.jobs.list()[0].previewUrl, "a preview");
  service.jobs.get(id).states.push("drawn", "done");
  const view = await ended(page, id);
  assert.equal(view.previewUrl, null);
});

test("the time that a machine takes to wake is not the pace of the drawing", async () => {
  service.states = ["waking"];
  const page = open();
  const id = page.jobs.start(SETTINGS);
  await until(() => page.jobs.list()[0].document?.wakingSeconds === 180, "a waking");
  assert.equal(page.jobs.list()[0].drawingSince, 0);
  service.jobs.get(id).states.push("drawing");
  await until(() => page.jobs.list()[0].drawingSince > 0, "the drawing");
  service.jobs.get(id).states.push("done");
  await ended(page, id);
});

test("the id is chosen and remembered before the first request, and fits the service", async () => {
  const page = open();
  const id = page.jobs.start(SETTINGS);
  assert.match(id, /^[A-Za-z0-9_-]{20,100}$/);
  assert.deepEqual(remembered().map((entry) => entry.id), [id]);
  await ended(page, id);
});

test("a seed that is left open, and what is not filled in, is not sent", async () => {
  const page = open();
  const id = page.jobs.start({ ...SETTINGS, steps: undefined });
  await ended(page, id);
  assert.deepEqual(service.of("POST")[0].body, { id, prompt: "a red circle", count: 1 });
});

test("each picture of a job is kept as soon as it is drawn", async () => {
  service.states = ["drawing", "drawn", "drawn", "drawn", "done"];
  const page = open();
  const id = page.jobs.start({ ...SETTINGS, count: 3 });
  await until(() => kept.size === 1, "the first picture");
  assert.equal(page.jobs.list()[0].phase, "drawing");
  const { pictures } = await ended(page, id);
  assert.deepEqual(pictures.map(({ record }) => record.seed), [1234, 1235, 1236]);
  assert.equal(kept.size, 3);
});

test("a full service is waited for as long as it says, with the same id", async () => {
  let refusals = 2;
  service.answer = ({ method }) => {
    const isRefused = method === "POST" && refusals-- > 0;
    return isRefused
      ? refuse(503, "queue_full", "the queue is full: try again soon", { "retry-after": "7" })
      : undefined;
  };
  const page = open();
  const id = page.jobs.start(SETTINGS);
  await until(() => page.jobs.list()[0].phase === "full", "full");
  assert.equal(page.jobs.list()[0].error, "The queue is full.");
  assert.equal(page.jobs.list()[0].retryAt, clock.now() + 7000);
  await ended(page, id);
  assert.deepEqual(clock.pauses.slice(0, 2), [7000, 7000]);
  assert.deepEqual(new Set(service.of("POST").map(({ body }) => body.id)), new Set([id]));
});

test("stop ends the wait for a full service, and nothing more is sent", async () => {
  service.answer = () => refuse(503, "queue_full", "the queue is full", { "retry-after": "30" });
  const page = open();
  const id = page.jobs.start(SETTINGS);
  await until(() => page.jobs.list()[0].phase === "full", "full");
  page.jobs.stop(id);
  await ended(page, id, "stopped");
  const sent = service.requests.length;
  await turn();
  assert.equal(service.requests.length, sent);
  assert.equal(service.of("DELETE").length, 0);
  assert.deepEqual(remembered(), []);
});

test("as many jobs as a key may have is waited for too", async () => {
  failOnce(({ method }) => method === "POST", refuse(429, "too_many_jobs", "2 jobs of yours wait"));
  const page = open();
  await ended(page, page.jobs.start(SETTINGS));
  assert.ok(page.phases.includes("full"));
});

test("without an answer it says so, tries again in growing pauses, and comes back", async () => {
  service.isDown = true;
  const page = open();
  const id = page.jobs.start(SETTINGS);
  await until(() => clock.pauses.length >= 7, "seven tries");
  assert.deepEqual(clock.pauses.slice(0, 7), [500, 1000, 2000, 4000, 5000, 5000, 5000]);
  assert.equal(page.jobs.list()[0].phase, "lost");
  assert.match(page.jobs.list()[0].error, /does not answer: check/);
  service.isDown = false;
  const view = await ended(page, id);
  assert.equal(view.error, "");
  assert.equal(service.jobs.size, 1);
});

test("a proxy's 502 is a lost connection, not the service's word", async () => {
  failOnce(({ method }) => method === "GET", new Response("<html>", { status: 502 }));
  const page = open();
  await ended(page, page.jobs.start(SETTINGS));
  assert.ok(page.phases.includes("lost"));
});

test("a service that lost the job gets it once more, with the same id and seed", async () => {
  service.states = ["drawing", "drawing", "drawing", "done"];
  const page = open();
  const id = page.jobs.start(SETTINGS);
  await until(() => service.of("GET").length > 1, "it is watched");
  service.jobs.clear();
  await ended(page, id);
  const [first, second] = service.of("POST").map(({ body }) => body);
  assert.deepEqual(second, { ...first, seed: 1234 });
  assert.equal(service.of("POST").length, 2);
});

test("a service that loses the job twice is not asked a third time", async () => {
  service.answer = ({ method }) =>
    method === "GET" ? refuse(404, "not_found", "you have no job with this id") : undefined;
  const page = open();
  const view = await ended(page, page.jobs.start(SETTINGS), "failed");
  assert.match(view.error, /no longer knows this job: draw it again/);
  assert.equal(service.of("POST").length, 2);
});

test("pictures that the service keeps no longer are a failure in words", async () => {
  failOnce(({ path }) => path.includes("/pictures/"), refuse(410, "gone", "kept no longer"));
  const page = open();
  const view = await ended(page, page.jobs.start(SETTINGS), "failed");
  assert.equal(view.error, "The service no longer keeps this job's pictures: draw it again.");
});

test("a conflict is the same job, sent by another tab: it is watched", async () => {
  const page = open();
  service.answer = ({ method, body }) => {
    if (method === "POST" && !service.jobs.has(body.id)) {
      service.jobs.set(body.id, { request: body, looks: 0, states: ["drawing", "done"] });
      return refuse(409, "conflict", "there is another job with this id");
    }
    return undefined;
  };
  await ended(page, page.jobs.start(SETTINGS));
  assert.equal(service.of("POST").length, 1);
});

test("a refusal is a failure in the service's words, and can be tried again", async () => {
  failOnce(({ method }) => method === "POST", refuse(400, "invalid_request", "steps are too many"));
  const page = open();
  const id = page.jobs.start(SETTINGS);
  const view = await ended(page, id, "failed");
  assert.equal(view.error, "Steps are too many.");
  const again = page.jobs.retry(id);
  assert.notEqual(again, id);
  await ended(page, again);
  assert.deepEqual(page.jobs.list().map((each) => each.id), [again]);
});

test("a job that fails while it is drawn says why", async () => {
  service.states = ["drawing", "failed"];
  const page = open();
  const view = await ended(page, page.jobs.start(SETTINGS), "failed");
  assert.equal(view.error, "The model server failed: try again.");
  assert.deepEqual(remembered(), []);
});

test("what a stopping service refuses is sent to its next process", async () => {
  service.states = ["queued", "refused"];
  const page = open();
  const id = page.jobs.start(SETTINGS);
  await until(() => page.phases.includes("full"), "it waits for the next process");
  service.jobs.clear();
  service.states = ["drawing", "done"];
  await ended(page, id);
  assert.ok(clock.pauses.includes(3000));
});

test("stop is asked for at the service's own pace where it refuses that too", async () => {
  service.states = ["drawing", "drawing"];
  failOnce(({ method }) => method === "DELETE", refuse(503, "busy", "no", { "retry-after": "4" }));
  const page = open();
  const id = page.jobs.start(SETTINGS);
  await until(() => page.jobs.list()[0].phase === "drawing", "it is drawn");
  page.jobs.stop(id);
  await ended(page, id, "stopped");
  assert.ok(clock.pauses.includes(4000));
});

test("stop while it is being sent waits for the answer, and then cancels", async () => {
  const { waiting, letGo } = held(({ method }) => method === "POST");
  const page = open();
  const id = page.jobs.start(SETTINGS);
  await until(() => waiting.length === 1, "the request");
  page.jobs.stop(id);
  assert.equal(page.jobs.list()[0].isStopping, true);
  letGo();
  await ended(page, id, "stopped");
  assert.deepEqual(service.requests.map(({ method }) => method), ["POST", "DELETE"]);
});

test("stop while it is drawn does not wait for the poll that is under way", async () => {
  service.states = ["drawing", "drawing"];
  service.answer = ({ method, path }, signal) =>
    method === "GET" && path.includes("wait=25")
      ? new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason));
        })
      : undefined;
  const page = open();
  const id = page.jobs.start(SETTINGS);
  await until(() => service.of("GET").some(({ path }) => path.includes("wait=25")), "a long poll");
  page.jobs.stop(id);
  await ended(page, id, "stopped");
  assert.equal(service.of("DELETE").length, 1);
});

test("stop without a connection is done once there is one", async () => {
  service.states = ["drawing", "drawing"];
  const page = open();
  const id = page.jobs.start(SETTINGS);
  await until(() => page.jobs.list()[0].phase === "drawing", "it is drawn");
  service.isDown = true;
  await until(() => page.jobs.list()[0].phase === "lost", "it is lost");
  page.jobs.stop(id);
  await turn();
  assert.equal(remembered()[0].isStopping, true);
  service.isDown = false;
  await ended(page, id, "stopped");
  assert.deepEqual(service.jobs.get(id).states, ["cancelled"]);
});

test("what was stopped is not sent again to a service that lost it", async () => {
  service.states = ["drawing", "drawing"];
  const page = open();
  const id = page.jobs.start(SETTINGS);
  await until(() => page.jobs.list()[0].phase === "drawing", "it is drawn");
  service.jobs.clear();
  page.jobs.stop(id);
  await ended(page, id, "stopped");
  assert.equal(service.of("POST").length, 1);
});

test("a reload comes back to all jobs, and sends none of them again", async () => {
  const { letGo } = held(({ method }) => method === "GET");
  const page = open();
  const ids = [page.jobs.start(SETTINGS), page.jobs.start({ ...SETTINGS, prompt: "a star" })];
  await until(() => service.jobs.size === 2, "both are sent");
  letGo();
  const reloaded = open();
  reloaded.jobs.resume();
  reloaded.jobs.resume();
  await ended(reloaded, ids[0]);
  await ended(reloaded, ids[1]);
  assert.equal(service.of("POST").length, 2);
  assert.equal(reloaded.jobs.list().length, 2);
  assert.equal(kept.size, 2);
});

test("a reload keeps no picture again that was kept before: it may be deleted by now", async () => {
  const entry = { id: "abc", settings: SETTINGS, created: clock.now(), kept: [0] };
  localStorage.setItem(JOBS_ITEM, JSON.stringify([entry]));
  service.jobs.set("abc", { request: { ...SETTINGS, seed: 5 }, looks: 0, states: ["done"] });
  const page = open();
  page.jobs.resume();
  const view = await ended(page, "abc");
  assert.equal(view.pictures.length, 1);
  assert.equal(kept.size, 0);
});

test("a job of long ago that nobody knows is not drawn unasked", async () => {
  const entry = { id: "abc", settings: SETTINGS, created: clock.now() - 700_000, kept: [] };
  localStorage.setItem(JOBS_ITEM, JSON.stringify([entry]));
  const page = open();
  page.jobs.resume();
  await ended(page, "abc", "failed");
  assert.equal(service.of("POST").length, 0);
  assert.deepEqual(remembered(), []);
});

test("a job that was never sent before the reload is sent after it", async () => {
  const entry = { id: "abc", settings: SETTINGS, created: clock.now() - 2000, kept: [] };
  localStorage.setItem(JOBS_ITEM, JSON.stringify([entry]));
  const page = open();
  page.jobs.resume();
  await ended(page, "abc");
  assert.equal(service.of("POST").length, 1);
});

test("a picture that the browser has no room for is fetched again after a reload", async () => {
  const page = open({ keep: async () => false });
  const id = page.jobs.start(SETTINGS);
  const view = await ended(page, id);
  assert.equal(view.pictures[0].isKept, false);
  assert.equal(remembered().length, 1);
  page.jobs.start({ ...SETTINGS, prompt: "a star" });
  assert.equal(page.jobs.list().length, 2); // nowhere else is it
});

test("the next draw makes room on the stage", async () => {
  const page = open();
  await ended(page, page.jobs.start(SETTINGS));
  const id = page.jobs.start(SETTINGS);
  assert.deepEqual(page.jobs.list().map((view) => view.id), [id]);
  await ended(page, id);
  page.jobs.dismiss(id);
  assert.deepEqual(page.jobs.list(), []);
});

test("stop means the newest, and then the one before", async () => {
  const page = open();
  const { letGo } = held(() => true);
  const first = page.jobs.start(SETTINGS);
  clock.time += 5;
  const second = page.jobs.start(SETTINGS);
  assert.equal(page.jobs.stoppable().id, second);
  page.jobs.stop(second);
  assert.equal(page.jobs.stoppable().id, first);
  page.jobs.stop(first);
  assert.equal(page.jobs.stoppable(), undefined);
  letGo();
  await ended(page, first, "stopped");
  await ended(page, second, "stopped");
});

test("of many jobs only one has a request that waits", async () => {
  let waiting = 0;
  let most = 0;
  service.answer = async ({ path }) => {
    const isLong = /wait=(25|5)&/.test(path);
    waiting += isLong ? 1 : 0;
    most = Math.max(most, waiting);
    await turn();
    await turn();
    waiting -= isLong ? 1 : 0;
  };
  service.states = ["queued", "drawing", "drawing", "drawn", "done"];
  const page = open();
  const ids = Array.from({ length: 6 }, () => page.jobs.start(SETTINGS));
  for (const id of ids) {
    await ended(page, id);
  }
  assert.equal(most, 1);
});

test("a page that nobody sees waits for less", async () => {
  const page = open({ isVisible: () => false });
  await ended(page, page.jobs.start(SETTINGS));
  const waits = service.of("GET").flatMap(({ path }) => path.match(/wait=\d+/) ?? []);
  assert.deepEqual(new Set(waits), new Set(["wait=5"]));
});

test("a preview that does not come holds nothing up", async () => {
  const { letGo } = held(({ path }) => path.endsWith("/preview"));
  const page = open();
  await ended(page, page.jobs.start(SETTINGS));
  letGo();
});

test("without storage everything works until the page is closed", async () => {
  localStorage.isForbidden = true;
  const page = open();
  await ended(page, page.jobs.start(SETTINGS));
  assert.equal(kept.size, 1);
});

for (const text of ["", "{", "null", "7", "{}", '[1, null, {"id": 5}]', '[{"id": "a"}]']) {
  test(`what another program left in the storage is passed over: ${text}`, async () => {
    localStorage.setItem(JOBS_ITEM, text);
    const page = open();
    page.jobs.resume();
    assert.deepEqual(page.jobs.list(), []);
    await ended(page, page.jobs.start(SETTINGS));
  });
}

test("an answer that is no job is a failure, not an endless loop", async () => {
  service.answer = ({ method }) => (method === "POST" ? json(200, { hello: 1 }) : undefined);
  const page = open();
  const view = await ended(page, page.jobs.start(SETTINGS), "failed");
  assert.match(view.error, /reload/);
});

test("what another tab starts is shown, and what it stopped is not sent from here", async () => {
  const listeners = [];
  globalThis.addEventListener = (name, act) => listeners.push(act);
  const full = refuse.bind(null, 503, "queue_full", "the queue is full", { "retry-after": "1" });
  service.answer = ({ method }) => (method === "POST" ? full() : undefined);
  const [mine, other] = [open(), open()];
  delete globalThis.addEventListener;
  const tell = () => listeners.forEach((act) => act({ key: JOBS_ITEM }));
  const id = mine.jobs.start(SETTINGS);
  tell();
  assert.deepEqual(other.jobs.list(), []); // while it is sent the service does not know it yet
  await until(() => mine.jobs.list()[0].phase === "full", "the service to answer");
  tell();
  await until(() => other.jobs.list()[0]?.phase === "full", "the other tab waits too");
  mine.jobs.stop(id);
  await ended(mine, id, "stopped");
  tell();
  await ended(other, id, "stopped");
});
