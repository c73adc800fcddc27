// Pictures as events, with OpenAI's package for Node.
import OpenAI from "openai";

export async function partial_images(address) {
  const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "unused" });
  const asked = { prompt: "a small red circle on white", stream: true, partial_images: 2 };
  const events = [];
  for await (const event of await client.images.generate(asked)) events.push(event);
  return events;
}
