// Packs files as the page does. Given {path, files: [{name, content, date}]}, content in base64.

import { writeFile } from "node:fs/promises";
import { text } from "node:stream/consumers";

import { zipFiles } from "../../../web/page/source/zip.js";

const { path, files } = JSON.parse(await text(process.stdin));
const zip = await zipFiles(
  files.map(({ name, content, date }) => ({
    name,
    date,
    blob: new Blob([Buffer.from(content, "base64")]),
  })),
);
await writeFile(path, Buffer.from(await zip.arrayBuffer()));
