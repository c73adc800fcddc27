// What the history notes of a picture.

/**
 * @param {object} document of the job
 * @param {number} number of the picture in it
 * @param {Blob} blob its file
 * @returns {object} a record; its thumbnail is made when it is kept
 */
export function recordOf(document, number, blob) {
  const { prompt, negativePrompt, guidanceScale, width, height } = document.request;
  const picture = document.pictures[number];
  return {
    key: `${document.id}/${number}`,
    jobId: document.id,
    number,
    created: Date.parse(document.created),
    prompt,
    negativePrompt,
    steps: picture.steps,
    guidanceScale,
    seed: picture.seed,
    width,
    height,
    fingerprint: picture.fingerprint,
    seconds: picture.seconds,
    tokens: picture.promptTokens,
    truncated: picture.truncated,
    notes: document.notes,
    thumbnail: null,
    bytes: blob.size,
  };
}

/**
 * The settings that draw a record's picture again.
 * @param {object} record
 * @returns {object}
 */
export function settingsOf({ prompt, negativePrompt, steps, guidanceScale, seed, width, height }) {
  return { prompt, negativePrompt, steps, guidanceScale, seed, width, height, count: 1 };
}
