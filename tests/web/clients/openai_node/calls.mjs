// What people write with OpenAI's package for Node.
import OpenAI, { toFile } from "openai";

const prompt = "a small red circle on white";
const client = (address, options = {}) =>
  new OpenAI({ baseURL: `${address}/v1`, apiKey: "unused", ...options });
const generate = (address, options) => client(address).images.generate({ prompt, ...options });

export async function generate_default(address) {
  const result = await client(address).images.generate({ prompt });
  return { ...result, request_id: result._request_id };
}

export const size_auto = (address) => generate(address, { size: "auto", model: "gpt-image-1" });

export const response_format_url = (address) => generate(address, { response_format: "url" });

export const response_format_b64_json = (address) =>
  generate(address, { response_format: "b64_json" });

export const three_pictures = (address) => generate(address, { n: 3, seed: 7 });

export async function edit(address) {
  const image = await toFile(Buffer.alloc(3_000_000), "picture.png", { type: "image/png" });
  return client(address).images.edit({ prompt, image });
}

export const too_many_pictures = (address) => generate(address, { n: 11 });

export async function models(address) {
  const found = [];
  for await (const model of client(address).models.list()) found.push(model);
  return found;
}
