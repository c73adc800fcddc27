// Reads pictures and prompts as the page does: JSON in, JSON out.
// Given {files: [base64], texts: [infotext], prompts: [prompt]}, it answers lists of the same
// lengths.

import { text } from "node:stream/consumers";

import { parseInfotext } from "../../../web/page/source/infotext.js";
import { settingsOfPicture } from "../../../web/page/source/restore.js";
import { plainPrompt } from "../../../web/page/source/syntax.js";

async function found(base64) {
  try {
    return await settingsOfPicture(new Blob([Buffer.from(base64, "base64")]));
  } catch (error) {
    return { error: error.message };
  }
}

const { files = [], texts = [], prompts = [] } = JSON.parse(await text(process.stdin));
const answer = {
  files: await Promise.all(files.map(found)),
  texts: texts.map(parseInfotext),
  prompts: prompts.map((prompt) => plainPrompt(prompt).text),
};
console.log(JSON.stringify(answer));
