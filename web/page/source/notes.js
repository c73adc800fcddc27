// Lines that say what happened, with a button to take it back; and the question before it does.

import { makeElement } from "./charts.js";

/**
 * @param {HTMLElement} element a .note
 * @param {string} text "" hides it
 * @param {{isBad?: boolean, action?: {label: string, act: () => void}}} [options]
 */
export function showNote(element, text, { isBad = false, action } = {}) {
  element.replaceChildren(text);
  if (action) {
    const button = makeElement("button", { type: "button" }, action.label);
    button.addEventListener("click", action.act);
    element.append(" ", button);
  }
  element.classList.toggle("bad", isBad);
  element.hidden = text === "";
}

/**
 * Asks in a dialog, where Esc and the first button mean no.
 * @param {string} question
 * @param {string} yes the button's label
 * @returns {Promise<boolean>}
 */
export function confirmInDialog(question, yes) {
  const dialog = document.getElementById("confirm");
  document.getElementById("confirm-question").textContent = question;
  document.getElementById("confirm-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const close = () => resolve(dialog.returnValue === "yes");
    dialog.addEventListener("close", close, { once: true });
  });
}
