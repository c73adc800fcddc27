// More callers than the service lets wait, with OpenAI's package for Node.
import OpenAI from "openai";

const prompt = "a small red circle on white";
const images = (address, options = {}) =>
  new OpenAI({ baseURL: `${address}/v1`, apiKey: "unused", ...options }).images;

// Two callers: the service has room for no other.
async function fill(address) {
  const others = [images(address).generate({ prompt }), images(address).generate({ prompt })];
  for (;;) {
    const status = await (await fetch(`${address}/api/v1/status`)).json();
    if (status.queued === 1 && status.drawing === 1) return others;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

// What a third caller gets while one is drawn for and one waits: it retries.
export async function overloaded(address) {
  const others = await fill(address);
  const result = await images(address).generate({ prompt });
  await Promise.all(others);
  return result.data.length;
}

export async function overloaded_without_retries(address) {
  const others = await fill(address);
  try {
    return await images(address, { maxRetries: 0 }).generate({ prompt });
  } catch (error) {
    const { status, code, type, headers } = error;
    return { status, code, type, retry_after: headers.get("retry-after") };
  } finally {
    await Promise.all(others);
  }
}
