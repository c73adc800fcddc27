// What the model's licence asks of those who use its pictures, at the page's foot.

import { makeElement } from "./charts.js";

/** @param {{licence: string, licenceUrl: string, licenceText: string}|null} model */
export function showLicence(model) {
  const foot = document.getElementById("licence");
  foot.hidden = !model?.licenceText;
  if (!foot.hidden) {
    const { licence, licenceUrl, licenceText } = model;
    const name = licenceUrl
      ? makeElement("a", { href: licenceUrl, rel: "noreferrer", target: "_blank" }, licence)
      : licence;
    foot.replaceChildren("The model's licence, ", name, `: ${licenceText}`);
  }
}
