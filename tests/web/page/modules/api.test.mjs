// Requests: what comes back, and what is said where nothing does.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  ApiError,
  deleteJson,
  getBlob,
  getJson,
  postJson,
  sentence,
} from "../../../../web/page/source/api.js";
import { json, refuse } from "./fake-service.mjs";

function answerWith(answer) {
  const requests = [];
  globalThis.fetch = async (path, options) => {
    requests.push({ path, ...options });
    return typeof answer === "function" ? answer(options) : answer;
  };
  return requests;
}

function hang({ signal }) {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return assert.fail("it did not fail");
}

test("JSON goes out and comes back, and nothing is taken from a cache", async () => {
  const [request] = [answerWith(json(200, { tokens: 3 }))];
  assert.deepEqual(await postJson("/api/v1/tokens", { prompt: "é" }), { tokens: 3 });
  const [{ method, body, headers, cache }] = request;
  assert.deepEqual([method, body, cache], ["POST", '{"prompt":"é"}', "no-store"]);
  assert.equal(headers["content-type"], "application/json");
  const [asked] = [answerWith(json(200, {}))];
  await deleteJson("/x");
  assert.equal(asked[0].method, "DELETE");
  assert.equal(asked[0].body, undefined);
});

test("pictures come as blobs", async () => {
  answerWith(new Response(new Blob(["png"])));
  assert.equal(await (await getBlob("/x")).text(), "png");
});

test("a refusal is the service's own words as a sentence, with its code", async () => {
  answerWith(refuse(503, "queue_full", "the queue is full (8 jobs wait)", { "retry-after": "12" }));
  const error = await failure(getJson("/x"));
  assert.ok(error instanceof ApiError);
  assert.equal(error.message, "The queue is full (8 jobs wait).");
  assert.deepEqual([error.status, error.code, error.retryAfterSeconds], [503, "queue_full", 12]);
  assert.equal(error.isLost, false);
});

test("an answer of something in between counts as a lost connection", async () => {
  answerWith(new Response("<h1>Bad gateway</h1>", { status: 502 }));
  const gateway = await failure(getJson("/x"));
  assert.ok(gateway.isLost);
  assert.match(gateway.message, /status 502/);
  answerWith(new Response("<form>Log in</form>"));
  const login = await failure(getJson("/x"));
  assert.ok(login.isLost);
  assert.match(login.message, /login/);
  for (const body of ["null", "7", '{"error": null}', '{"error": {"message": 5}}']) {
    answerWith(new Response(body, { status: 400 }));
    assert.equal((await failure(getJson("/x"))).isLost, false, body);
  }
});

test("no answer says what to do", async () => {
  globalThis.fetch = async () => {
    throw new TypeError("Failed to fetch");
  };
  const error = await failure(getJson("/x"));
  assert.deepEqual([error.status, error.isLost], [0, true]);
  assert.match(error.message, /check that it runs/);
});

test("a connection that hangs is given up", async () => {
  answerWith(hang);
  const error = await failure(getJson("/x", undefined, 20));
  assert.ok(error instanceof ApiError && error.isLost);
  assert.match(error.message, /did not answer within/);
});

test("an answer whose body hangs is given up too", async () => {
  answerWith(({ signal }) => {
    const body = new ReadableStream({
      start(stream) {
        signal.addEventListener("abort", () => stream.error(signal.reason));
      },
    });
    return new Response(body);
  });
  assert.ok((await failure(getJson("/x", undefined, 20))).isLost);
});

test("the caller's own abort is no lost connection", async () => {
  answerWith(hang);
  const asking = new AbortController();
  const asked = failure(getJson("/x", asking.signal));
  asking.abort();
  assert.equal((await asked).name, "AbortError");
  assert.equal((await failure(getJson("/x", asking.signal))).name, "AbortError");
});

test("sentences begin large and end with one full stop", () => {
  assert.equal(sentence("the queue is full"), "The queue is full.");
  assert.equal(sentence("Really?"), "Really?");
  assert.equal(sentence(""), ".");
});
