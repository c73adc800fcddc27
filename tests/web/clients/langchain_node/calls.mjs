// What people write with LangChain's DallEAPIWrapper for Node.
import { DallEAPIWrapper } from "@langchain/openai";

const prompt = "a small red circle on white";
const wrapper = (address, options = {}) =>
  new DallEAPIWrapper({ baseUrl: `${address}/v1`, apiKey: "unused", ...options });

export const invoke = (address) => wrapper(address).invoke(prompt);

export const invoke_for_two_pictures = (address) => wrapper(address, { n: 2 }).invoke(prompt);

export const invoke_for_base64 = (address) =>
  wrapper(address, { responseFormat: "b64_json" }).invoke(prompt);
