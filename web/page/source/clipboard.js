// Copies text, on an insecure origin too, where there is no navigator.clipboard.

/**
 * @param {string} text
 * @returns {Promise<boolean>} whether the browser did it
 */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text) {
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.readOnly = true;
  field.className = "visually-hidden";
  // Outside of an open dialog nothing can be selected.
  (focused?.closest("dialog") ?? document.body).append(field);
  try {
    field.select();
    return document.execCommand("copy");
  } finally {
    field.remove();
    focused?.focus();
  }
}
