// What people write with Vercel's AI SDK.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateImage } from "ai";

const prompt = "a small red circle on white";
const model = (address, name = "stable-diffusion") =>
  createOpenAICompatible({ name: "mine", baseURL: `${address}/v1`, apiKey: "unused" }).imageModel(
    name,
  );
const drawn = ({ images, warnings }) => ({
  images: images.map(({ base64, mediaType }) => ({ base64, mediaType })),
  warnings,
});

export const generate_image = async (address) =>
  drawn(await generateImage({ model: model(address), prompt }));

export const three_pictures = async (address) =>
  drawn(await generateImage({ model: model(address), prompt, n: 3, size: "1024x1024" }));

export async function seed_and_negative_prompt(address) {
  const providerOptions = { mine: { seed: 7, negative_prompt: "blue" } };
  const draw = () => generateImage({ model: model(address), prompt, providerOptions });
  return [drawn(await draw()), drawn(await draw())];
}

export const bad_request = (address) =>
  generateImage({
    model: model(address),
    prompt,
    maxRetries: 0,
    providerOptions: { mine: { steps: 100_000 } },
  });
