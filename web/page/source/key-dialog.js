// The dialog that asks for the service's key.

import { askForKeysWith, currentKey, isKey, keepKey } from "./key.js";

const KEY_WANTED = "This service asks for a key: whoever runs it has yours.";
const KEY_WRONG = "The service does not know this key: check it, or ask for another.";
const KEY_CHANGED = "Another key for this service; none forgets yours.";
const NO_KEY = "A key has no spaces and no characters beyond ASCII: paste it alone.";

/** Let requests that are refused ask for a key, and the button in the header for another. */
export function startKeyDialog() {
  askForKeysWith((isWrong) => askForKey(isWrong ? KEY_WRONG : KEY_WANTED));
  keyElement("key-change").hidden = currentKey() === "";
  keyElement("key-change").addEventListener("click", () => askForKey(KEY_CHANGED));
  keyElement("key-later").addEventListener("click", () => keyElement("key-dialog").close());
}

function askForKey(text) {
  const dialog = keyElement("key-dialog");
  const form = keyElement("key-form");
  const field = keyElement("key");
  keyElement("key-change").hidden = false;
  keyElement("key-text").textContent = text;
  field.value = "";
  showKeyError("");
  if (!dialog.open) {
    dialog.showModal();
  }
  field.focus();
  return new Promise((resolve) => {
    let isGiven = false;
    const submit = (event) => {
      event.preventDefault();
      const key = field.value.trim();
      if (key !== "" && !isKey(key)) {
        showKeyError(NO_KEY);
        return;
      }
      isGiven = key !== "";
      keepKey(key, keyElement("key-remember").checked);
      dialog.close();
    };
    const close = () => {
      form.removeEventListener("submit", submit);
      field.value = ""; // it stays nowhere in the page
      resolve(isGiven);
    };
    form.addEventListener("submit", submit);
    dialog.addEventListener("close", close, { once: true });
  });
}

function showKeyError(text) {
  const error = keyElement("key-error");
  error.textContent = text;
  error.hidden = text === "";
  keyElement("key").setAttribute("aria-invalid", String(text !== ""));
}

function keyElement(id) {
  return document.getElementById(id);
}
