// The settings that a picture's file notes: this service's own, the command line's, or A1111's.

import { exifComment, isJpegOrWebp } from "./exif.js";
import { parseInfotext } from "./infotext.js";
import { isPng, pngTexts } from "./png.js";

const RECIPE_KEYWORD = "diffusion-serving";
const INFOTEXT_KEYWORD = "parameters";
const RESTORE_MAX_BYTES = 100_000_000;

/**
 * @param {Blob} file
 * @returns {Promise<{settings: object, notes: string[], fingerprint: string}>} notes: sentences on
 *   what could not be taken over. fingerprint: of the model that drew it, "" if it is not known
 * @throws {Error} in words for the person who chose the file
 */
export async function settingsOfPicture(file) {
  if (file.size > RESTORE_MAX_BYTES) {
    throw new Error("The file is larger than 100 MB: choose a picture as it was downloaded.");
  }
  const buffer = await readBytes(file);
  if (isPng(buffer)) {
    return settingsOfTexts(await pngTexts(buffer));
  }
  if (isJpegOrWebp(buffer)) {
    return settingsOfTexts(new Map([[INFOTEXT_KEYWORD, exifComment(buffer) ?? ""]]));
  }
  throw new Error("The file is no PNG, JPEG or WebP: choose a picture as it was downloaded.");
}

async function readBytes(file) {
  try {
    return await file.arrayBuffer();
  } catch {
    throw new Error("The file cannot be read: a folder, or it was moved or changed meanwhile.");
  }
}

// Single values come first: a client that saves the service's picture writes them, and they are
// what it asked for. The infotext comes last: it cannot hold every prompt exactly.
function settingsOfTexts(texts) {
  const recipe = recipeOfValues(texts) ?? recipeOfJson(texts.get(RECIPE_KEYWORD) ?? "");
  const infotext = parseInfotext(texts.get(INFOTEXT_KEYWORD) ?? "");
  if (recipe) {
    return {
      settings: { ...sizeOf(infotext), ...recipe.settings },
      notes: recipe.isComplete ? [] : ["It was stopped before its last step."],
      fingerprint: recipe.fingerprint,
    };
  }
  if (infotext) {
    const { settings, ignored, notes } = infotext;
    const unused = ignored.length > 0 ? [`Not used here: ${ignored.join(", ")}.`] : [];
    return { settings, notes: [...unused, ...notes], fingerprint: "" };
  }
  throw new Error(
    "The picture does not say how it was made. Pictures lose that when another program, or a " +
      "website, saves them again.",
  );
}

function sizeOf(infotext) {
  const { width, height } = infotext?.settings ?? {};
  return width && height ? { width, height } : {};
}

function recipeOfValues(texts) {
  return checkedRecipe({
    prompt: texts.get("prompt"),
    negativePrompt: texts.get("negative_prompt"),
    steps: Number(texts.get("steps")),
    guidanceScale: Number(texts.get("guidance_scale")),
    seed: Number(texts.get("seed")),
    fingerprint: texts.get("model_fingerprint"),
  });
}

function recipeOfJson(text) {
  try {
    const document = JSON.parse(text);
    return document?.format === 1 ? checkedRecipe(document) : null;
  } catch {
    return null;
  }
}

// Null unless every value has its type.
function checkedRecipe(document) {
  const { prompt, negativePrompt, steps, guidanceScale, seed, fingerprint } = document;
  const hasTypes =
    [prompt, negativePrompt, fingerprint].every((value) => typeof value === "string") &&
    [steps, seed].every(Number.isSafeInteger) &&
    Number.isFinite(guidanceScale);
  return hasTypes
    ? {
        settings: { prompt, negativePrompt, steps, guidanceScale, seed },
        fingerprint,
        isComplete: document.complete !== false,
      }
    : null;
}
