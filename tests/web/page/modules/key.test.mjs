// The service's key: where it is kept, when it is asked for, and how it is sent.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

class Storage {
  items = new Map();
  getItem(name) {
    return this.items.get(name) ?? null;
  }
  setItem(name, value) {
    this.items.set(name, value);
  }
  removeItem(name) {
    this.items.delete(name);
  }
}

const GOOD = "alices-key:0123456789";
let tab, device, sent, good, key, api;
let number = 0;

// Each test has modules of its own, as a page that was just opened.
async function opened() {
  key = await import(`../../../../web/page/source/key.js?${(number += 1)}`);
}

beforeEach(async () => {
  tab = new Storage();
  device = new Storage();
  globalThis.window = { sessionStorage: tab, localStorage: device };
  await opened();
});

test("without a key nothing is kept", () => {
  assert.equal(key.currentKey(), "");
});

test("a key lasts as long as the tab, unless it is to be remembered", async () => {
  key.keepKey(GOOD, false);
  assert.equal(device.items.size, 0);
  await opened();
  assert.equal(key.currentKey(), GOOD);
  tab.items.clear();
  await opened();
  assert.equal(key.currentKey(), "");
});

test("a remembered key outlasts the tab", async () => {
  key.keepKey(GOOD, true);
  tab.items.clear();
  await opened();
  assert.equal(key.currentKey(), GOOD);
});

test("a key that is not to be remembered makes the device forget the one before", () => {
  key.keepKey("another-key-0123456789", true);
  key.keepKey(GOOD, false);
  assert.equal(device.items.size, 0);
});

test("no key forgets yours everywhere", async () => {
  key.keepKey(GOOD, true);
  key.keepKey("", true);
  assert.equal(tab.items.size + device.items.size, 0);
  await opened();
  assert.equal(key.currentKey(), "");
});

test("without storage a key lasts as long as the page", () => {
  globalThis.window = {};
  key.keepKey(GOOD, true);
  assert.equal(key.currentKey(), GOOD);
});

test("what no header could carry is no key", () => {
  for (const text of ["", "two words", "line\nbreak", "schlüssel", "tab\t", "\u0000"]) {
    assert.equal(key.isKey(text), false, JSON.stringify(text));
  }
  assert.equal(key.isKey(GOOD), true);
});

test("a stored text that is no key is not sent", async () => {
  tab.setItem("diffusion.key", "two words");
  await opened();
  assert.equal(key.currentKey(), "");
});

test("several requests that are refused ask once", async () => {
  const asked = [];
  let answer;
  key.askForKeysWith((isWrong) => {
    asked.push(isWrong);
    return new Promise((resolve) => (answer = resolve));
  });
  const refused = [key.hasOtherKey(""), key.hasOtherKey("")];
  key.keepKey(GOOD, false);
  answer(true);
  assert.deepEqual(await Promise.all(refused), [true, true]);
  assert.deepEqual(asked, [false]);
});

test("a request that was sent before there was a key is sent again without asking", async () => {
  key.askForKeysWith(() => assert.fail("nobody need be asked"));
  key.keepKey(GOOD, false);
  assert.equal(await key.hasOtherKey(""), true);
});

test("whoever wants to give none is not asked again, until there is a key", async () => {
  const asked = [];
  key.askForKeysWith(async (isWrong) => {
    asked.push(isWrong);
    return false;
  });
  assert.equal(await key.hasOtherKey(""), false);
  assert.equal(await key.hasOtherKey(""), false);
  key.keepKey("wrong-key-0123456789", false);
  assert.equal(await key.hasOtherKey("wrong-key-0123456789"), false);
  assert.deepEqual(asked, [false, true]);
});

test("without a dialog a refusal is final", async () => {
  assert.equal(await key.hasOtherKey(""), false);
});

// The requests import the module without a query, so there is one key for all tests below.
async function requests() {
  key = await import("../../../../web/page/source/key.js");
  api = await import("../../../../web/page/source/api.js");
  key.keepKey("", false);
  sent = [];
  good = GOOD;
  globalThis.fetch = async (path, { headers }) => {
    sent.push({ path, authorization: headers.authorization });
    const isGood = headers.authorization === `Bearer ${good}`;
    const body = isGood ? { is: "there" } : { error: { code: "invalid_api_key", message: "no" } };
    return new Response(JSON.stringify(body), { status: isGood ? 200 : 401 });
  };
}

test("a refused request asks for the key, and is sent again with it", async () => {
  await requests();
  const asked = [];
  const answers = ["wrong-key-0123456789", GOOD];
  key.askForKeysWith(async (isWrong) => {
    asked.push(isWrong);
    key.keepKey(answers.shift(), false);
    return true;
  });
  assert.deepEqual(await api.postJson("/api/v1/jobs", { prompt: "a" }), { is: "there" });
  assert.deepEqual(asked, [false, true]);
  assert.deepEqual(
    sent.map(({ authorization }) => authorization),
    [undefined, "Bearer wrong-key-0123456789", `Bearer ${GOOD}`],
  );
});

test("the key is in a header of every request, and in no address", async () => {
  await requests();
  key.keepKey(GOOD, false);
  await api.getJson("/api/v1/status");
  await api.postJson("/api/v1/jobs", {});
  await api.deleteJson("/api/v1/jobs/one");
  await api.getBlob("/api/v1/jobs/one/pictures/0");
  assert.equal(sent.length, 4);
  for (const { path, authorization } of sent) {
    assert.equal(authorization, `Bearer ${GOOD}`);
    assert.ok(!path.includes(GOOD));
  }
});

test("a refusal for whoever gives no key is the service's own", async () => {
  await requests();
  key.askForKeysWith(async () => false);
  await assert.rejects(api.getJson("/api/v1/status"), { status: 401, code: "invalid_api_key" });
});

test("the time for typing is not the request's", async () => {
  await requests();
  key.askForKeysWith(async () => {
    await new Promise((resolve) => setTimeout(resolve, 60));
    key.keepKey(GOOD, false);
    return true;
  });
  assert.deepEqual(await api.getJson("/api/v1/status", undefined, 30), { is: "there" });
});
