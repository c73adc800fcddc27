// Text chunks: every kind, damaged, cut off, and grown too large.

import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32, deflateSync } from "node:zlib";

import { MAX_TEXT_BYTES, pngTexts } from "../../../../web/page/source/png.js";

const SIGNATURE = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");

function chunk(kind, data) {
  const body = Buffer.concat([Buffer.from(kind, "latin1"), data]);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(data.length);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([size, body, checksum]);
}

function png(...chunks) {
  return Buffer.concat([SIGNATURE, chunk("IHDR", Buffer.alloc(13)), ...chunks, end]);
}

const end = chunk("IEND", Buffer.alloc(0));
const text = (keyword, value) => chunk("tEXt", Buffer.from(`${keyword}\0${value}`, "latin1"));

function packed(keyword, data) {
  return chunk("zTXt", Buffer.concat([Buffer.from(`${keyword}\0\0`, "latin1"), data]));
}

function international(keyword, data, isPacked) {
  const head = Buffer.from(`${keyword}\0${isPacked ? "\x01" : "\0"}\0en\0schlüssel\0`, "utf8");
  return chunk("iTXt", Buffer.concat([head, data]));
}

async function texts(file) {
  const buffer = file.buffer.slice(file.byteOffset, file.byteOffset + file.length);
  return Object.fromEntries(await pngTexts(buffer));
}

test("texts in Latin-1, packed, and in every language are read", async () => {
  const file = png(
    text("one", "größe \x85"),
    packed("two", deflateSync(Buffer.from("é".repeat(500), "latin1"))),
    international("three", Buffer.from("☆"), false),
    international("four", deflateSync(Buffer.from("星")), true),
  );
  assert.deepEqual(await texts(file), {
    one: "größe \x85",
    two: "é".repeat(500),
    three: "☆",
    four: "星",
  });
});

test("a text after the picture's data is read, one after the end is not", async () => {
  const file = Buffer.concat([png(chunk("IDAT", Buffer.alloc(99)), text("a", "1")), text("b", "2")]);
  assert.deepEqual(await texts(file), { a: "1" });
});

test("a damaged text is left out, and the others are read", async () => {
  const data = deflateSync(Buffer.from("some text".repeat(99)));
  const file = png(
    packed("cut", data.subarray(0, data.length - 9)),
    packed("wrong", Buffer.from("no zlib data")),
    packed("empty", Buffer.alloc(0)),
    chunk("zTXt", Buffer.from("method\0\x07abc", "latin1")),
    chunk("iTXt", Buffer.from("short\0\0\0en", "latin1")),
    chunk("tEXt", Buffer.from("no zero")),
    chunk("tEXt", Buffer.from("\0no keyword")),
    chunk("tEXt", Buffer.alloc(0)),
    text("good", "yes"),
  );
  assert.deepEqual(await texts(file), { good: "yes" });
});

test("a file that was cut off anywhere says what comes before the cut", async () => {
  const file = png(text("first", "1"), chunk("IDAT", Buffer.alloc(50)), text("last", "2"));
  for (let size = 0; size < file.length; size += 1) {
    const found = await texts(file.subarray(0, size));
    assert.ok(Object.keys(found).length <= 2);
    assert.equal(found.first ?? "1", "1");
  }
});

test("a chunk that says it is 4 GB long ends the reading", async () => {
  const file = png(text("a", "1"));
  const huge = Buffer.concat([file.subarray(0, -12), Buffer.from("\xff\xff\xff\xfftEXt", "latin1")]);
  assert.deepEqual(await texts(huge), { a: "1" });
});

test("a text that grows from little to more than a megabyte is left out", async () => {
  const bomb = deflateSync(Buffer.alloc(100 * MAX_TEXT_BYTES, "a"));
  const file = png(packed("bomb", bomb), international("bomb too", bomb, true), text("a", "1"));
  assert.deepEqual(await texts(file), { a: "1" });
  const most = deflateSync(Buffer.alloc(MAX_TEXT_BYTES, "a"));
  assert.equal((await texts(png(packed("most", most)))).most.length, MAX_TEXT_BYTES);
});

test("of thousands of texts only the first are read", async () => {
  const many = Array.from({ length: 5000 }, (_, index) => text(`k${index}`, "v"));
  assert.equal(Object.keys(await texts(png(...many))).length, 64);
});

test("what is no PNG has no texts", async () => {
  for (const file of ["", "GIF89a", "\x89PNG", "PNG".repeat(100)]) {
    assert.deepEqual(await texts(Buffer.from(file, "latin1")), {});
  }
});
