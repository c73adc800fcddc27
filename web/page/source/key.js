// The key that the service may ask for: kept in this browser, and asked for when it is missing.

const KEY_ITEM = "diffusion.key";
const KEY_CHARACTERS = /^[!-~]+$/;

let heldKey = null; // null until it was looked for
let keyAsker = null;
let keyAnswer = null; // of the one dialog, which all requests wait for that were refused
let isKeyGivenUp = false;

/** Whether a header could carry it. */
export function isKey(text) {
  return KEY_CHARACTERS.test(text);
}

/** @returns {string} "" if there is none */
export function currentKey() {
  heldKey ??= storedKey();
  return heldKey;
}

/**
 * @param {string} key
 * @param {boolean} isRemembered beyond this tab
 */
export function keepKey(key, isRemembered) {
  heldKey = key;
  isKeyGivenUp = false;
  for (const [name, isWanted] of [["localStorage", isRemembered], ["sessionStorage", true]]) {
    try {
      if (key !== "" && isWanted) {
        window[name].setItem(KEY_ITEM, key);
      } else {
        window[name].removeItem(KEY_ITEM);
      }
    } catch {
      // It then lasts as long as the page.
    }
  }
}

/**
 * @param {(isWrong: boolean) => Promise<boolean>} asker says whether somebody gave a key.
 *   isWrong: the one that was sent is not the service's
 */
export function askForKeysWith(asker) {
  keyAsker = asker;
}

/**
 * Whether a request may be sent again, since there is another key than the one that was refused.
 * Waits for whoever types it.
 * @param {string} refused
 * @returns {Promise<boolean>}
 */
export async function hasOtherKey(refused) {
  if (currentKey() !== refused) {
    return true;
  }
  if (keyAsker === null || isKeyGivenUp) {
    return false;
  }
  keyAnswer ??= keyAsker(refused !== "").then((isGiven) => {
    keyAnswer = null;
    isKeyGivenUp = !isGiven;
    return isGiven;
  });
  return keyAnswer;
}

function storedKey() {
  for (const name of ["sessionStorage", "localStorage"]) {
    try {
      const key = window[name].getItem(KEY_ITEM) ?? "";
      if (isKey(key)) {
        return key;
      }
    } catch {
      // Storage may be forbidden.
    }
  }
  return "";
}
