// How a job is, in words and as a part of the whole.

import assert from "node:assert/strict";
import { test } from "node:test";

import { makeView } from "../../../../web/page/source/job-view.js";
import { jobFraction, jobNews, jobStatus } from "../../../../web/page/source/job-words.js";

const NOW = 1_800_000_000_000;
const REAL = { progress: "real" };
const ESTIMATED = { progress: "estimated" };
const RECORD = { seed: 7, steps: 20, width: 64, height: 64, seconds: 1.24 };

function view(phase, changes = {}, job = {}) {
  const document = {
    ...{ place: 0, step: 12, steps: 20, progress: 0.6, secondsLeft: 3.2, pictures: [] },
    wakingSeconds: null,
    request: { steps: 20, count: 1 },
    ...job,
  };
  const made = makeView({ id: "a", settings: {}, created: NOW });
  return { ...made, phase, document, documentAt: NOW, ...changes };
}

function said(...made) {
  return jobStatus(view(...made), REAL, NOW);
}

test("each phase is said in words", () => {
  assert.equal(said("sending"), "Sending …");
  assert.equal(said("full", { retryAt: NOW + 6100 }), "Trying again in 7 s");
  assert.equal(said("queued", {}, { place: 1 }), "Next in the queue · ready in about 3 s");
  assert.equal(said("drawing"), "Step 12 of 20 · about 3 s left");
  assert.equal(said("drawing", {}, { secondsLeft: null }), "Step 12 of 20");
  assert.equal(said("drawing", {}, { secondsLeft: 125 }), "Step 12 of 20 · about 2 min 5 s left");
  assert.equal(said("collecting"), "Fetching the picture …");
  assert.equal(said("lost"), "Trying to reach it again …");
  assert.equal(said("drawing", { isStopping: true }), "Stopping …");
  assert.match(said("lost", { isStopping: true }), /once the service answers/);
  assert.equal(said("stopped"), "Stopped");
  const pictures = [{ record: RECORD }];
  assert.equal(said("done", { pictures }), "Drawn in 1.2 s · seed 7 · 20 steps · 64 × 64");
});

test("while no machine runs, it says so and for about how long", () => {
  const waking = (wakingSeconds) => view("drawing", {}, { step: 0, progress: 0, wakingSeconds });
  assert.equal(jobStatus(waking(180), REAL, NOW), "Waking a machine, about 3 minutes");
  assert.equal(jobStatus(waking(180), REAL, NOW + 70_000), "Waking a machine, about 2 minutes");
  assert.equal(jobStatus(waking(75), REAL, NOW), "Waking a machine, about 1 min 15 s");
  assert.equal(jobStatus(waking(30), REAL, NOW), "Waking a machine, about 30 s");
  assert.equal(jobStatus(waking(0), REAL, NOW + 9000), "Waking a machine …");
  assert.equal(jobFraction(waking(180), ESTIMATED, NOW), null);
});

test("places are ordinals", () => {
  const places = [2, 3, 4, 11, 21].map((place) => said("queued", {}, { place, secondsLeft: null }));
  const words = ["2nd", "3rd", "4th", "11th", "21st"].map((word) => `${word} in the queue`);
  assert.deepEqual(places, words);
});

test("of several pictures the step is that of the one that is drawn", () => {
  const job = { step: 25, steps: 60, pictures: [{}], request: { steps: 20, count: 3 } };
  assert.match(said("drawing", {}, job), /^Picture 2 of 3 · step 5 of 20/);
  const record = (seed) => ({ record: { ...RECORD, seed } });
  assert.match(said("done", { pictures: [record(7), record(8)] }), /2\.5 s · seeds 7 to 8/);
  assert.match(said("stopped", { pictures: [record(7)] }, job), /Stopped · 1 of 3 pictures/);
});

test("the time left goes on between two answers, and never below nothing", () => {
  const drawing = view("drawing");
  assert.match(jobStatus(drawing, REAL, NOW + 2000), /about 1 s left/);
  assert.match(jobStatus(drawing, REAL, NOW + 60_000), /almost done/);
});

test("a job that is slower than the service thinks says its own pace", () => {
  const pace = { drawingSince: NOW - 10_000, drawingFrom: 2 };
  assert.match(said("drawing", pace, { secondsLeft: 0.1 }), /about 8 s left/);
  assert.match(said("drawing", {}, { step: 0, progress: 0, secondsLeft: 0.1 }), /^Step 0 of 20$/);
});

test("only a picture that is there is 100 %", () => {
  assert.equal(jobFraction(view("drawing"), REAL, NOW), 0.6);
  assert.equal(jobFraction(view("drawing", {}, { progress: 1 }), REAL, NOW), 0.99);
  assert.equal(jobFraction(view("collecting"), REAL, NOW), 0.99);
  assert.equal(jobFraction(view("done"), REAL, NOW), 1);
  assert.equal(jobFraction(view("queued"), REAL, NOW), null);
  assert.equal(jobFraction(view("sending", { document: null }), REAL, NOW), null);
});

test("an estimate comes from the time, grows, and never arrives", () => {
  const drawing = view("drawing", { drawingSince: NOW }, { step: 0, progress: 0, secondsLeft: 10 });
  const parts = [0, 2, 5, 9, 12, 600].map((seconds) =>
    jobFraction(drawing, ESTIMATED, NOW + seconds * 1000),
  );
  assert.deepEqual(parts, [0, 0.2, 0.5, 0.9, 0.99, 0.99]);
  assert.equal(jobStatus(drawing, ESTIMATED, NOW), "Drawing · about 10 s left");
  const unknown = view("drawing", { drawingSince: NOW }, { secondsLeft: null });
  assert.equal(jobFraction(unknown, ESTIMATED, NOW), null);
});

test("what is heard are new phases and quarters, each once", () => {
  const texts = [];
  let news;
  const hear = (made) => {
    news = jobNews(news, made, REAL, NOW);
    texts.push(news.text);
  };
  hear(view("sending"));
  hear(view("queued", {}, { place: 2 }));
  hear(view("queued", {}, { place: 1 }));
  for (const progress of [0, 0.1, 0.3, 0.35, 0.8, 0.9]) {
    hear(view("drawing", {}, { progress }));
  }
  hear(view("collecting"));
  hear(view("done", { pictures: [{ record: RECORD }] }));
  assert.deepEqual(
    texts.filter(Boolean),
    ["2nd in the queue", "Drawing", "25 percent", "75 percent", "The picture is ready"],
  );
  hear(view("lost", { error: "The service does not answer: check that it runs." }));
  assert.match(texts.at(-1), /does not answer/);
});
