// The page's start: wires its parts together.

import { announce } from "./announce.js";
import { Connection } from "./connection.js";
import { ServiceTab } from "./figures.js";
import { Form } from "./form.js";
import { Gallery } from "./gallery.js";
import { Jobs } from "./jobs.js";
import { startKeyDialog } from "./key-dialog.js";
import { showLicence } from "./licence.js";
import { Restoring } from "./restoring.js";
import { defaultSettings, fragmentToSettings, loadSettings } from "./settings.js";
import { Stage } from "./stage.js";
import { openStore } from "./store.js";
import { Tabs } from "./tabs.js";

const LIMIT_CODES = ["invalid_request", "too_costly"]; // of a model that this page does not know
const OTHER_MODEL = "Another model drew it: the picture will differ.";
const SETTINGS_TAKEN = "The settings are filled in: press Draw.";

startKeyDialog();

const form = new Form();
const stage = new Stage();
const connection = new Connection();
const tabs = new Tabs(document.querySelector("[role=tablist]"));
const serviceTab = new ServiceTab(document.getElementById("service-content"));
const restoring = new Restoring();
const opening = openGallery();
const jobs = new Jobs({
  keep: async (record, blob) => (await opening).add(record, blob),
  isVisible: () => !document.hidden,
});
const stopButton = document.getElementById("stop");
let capabilities = null;

startDrawing();
startConnection();
startShowing();
form.show(takeFragment() ?? loadSettings() ?? {});
jobs.resume();
connection.check();

function startDrawing() {
  form.addEventListener("draw", ({ detail }) => {
    jobs.start(detail);
    stage.bringIntoView();
  });
  form.addEventListener("stop", stopNewest);
  stage.addEventListener("stop", ({ detail }) => jobs.stop(detail));
  stage.addEventListener("retry", ({ detail }) => jobs.retry(detail));
  stage.addEventListener("dismiss", ({ detail }) => jobs.dismiss(detail));
  stage.addEventListener("open", async ({ detail }) => (await opening).open(detail));
  jobs.addEventListener("change", ({ detail }) => onJobChange(detail));
  document.addEventListener("keydown", onKey);
}

function onJobChange(view) {
  const { phase, pictures, document: job } = view;
  stage.show(jobs.list());
  enableStop(jobs.stoppable() !== undefined);
  if (pictures.length > 0) {
    form.setLastSeed(pictures.at(-1).record.seed);
  }
  if (phase === "lost") {
    connection.check();
  } else if (phase === "failed" && (!job || LIMIT_CODES.includes(job.error?.code))) {
    connection.refreshCapabilities();
  }
}

function enableStop(isEnabled) {
  if (!isEnabled && document.activeElement === stopButton) {
    document.getElementById("draw").focus();
  }
  stopButton.disabled = !isEnabled;
}

// The top one on the stage.
function stopNewest() {
  const view = jobs.stoppable();
  if (view) {
    jobs.stop(view.id);
  }
}

function onKey(event) {
  if (event.isComposing || event.repeat || document.querySelector("dialog[open]")) {
    return;
  }
  const isDrawing = !document.getElementById("panel-draw").hidden;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && isDrawing) {
    event.preventDefault();
    form.submit();
  } else if (event.key === "Escape" && !isSearching(event.target)) {
    stopNewest();
  }
}

function isSearching(element) {
  return element.type === "search" && element.value !== "";
}

function startConnection() {
  const line = document.getElementById("connection");
  connection.addEventListener("change", ({ detail: { state, text } }) => {
    if (line.textContent !== text) {
      announce(state === "ready" && line.dataset.state === "loading" ? "" : text);
      line.textContent = text;
    }
    line.dataset.state = state;
  });
  connection.addEventListener("capabilities", ({ detail }) => {
    capabilities = detail;
    form.setCapabilities(detail);
    stage.setCapabilities(detail);
    showLicence(detail.model);
  });
  connection.addEventListener("back", () => jobs.reconnect());
}

function startShowing() {
  tabs.addEventListener("change", ({ detail }) => {
    serviceTab[detail === "panel-service" ? "show" : "hide"]();
  });
  restoring.addEventListener("settings", ({ detail }) => {
    const { settings, notes, fingerprint } = detail;
    const served = capabilities?.model?.fingerprint;
    const isOther = fingerprint && served && fingerprint !== served;
    useSettings(settings, isOther ? [...notes, OTHER_MODEL] : notes);
  });
  restoring.addEventListener("problem", ({ detail }) => {
    form.note(detail, { isBad: true });
    announce(detail);
  });
  globalThis.addEventListener("hashchange", () => {
    const settings = takeFragment();
    if (settings) {
      useSettings(settings);
    }
  });
}

// Into the form, whose first field is next.
function useSettings(settings, notes = []) {
  tabs.select(document.getElementById("tab-draw"));
  const text = [SETTINGS_TAKEN, ...notes, form.show(settings)].join(" ").trim();
  form.note(text);
  form.focus();
  announce(text);
}

// A link's settings count once: what is typed after it is there after a reload.
function takeFragment() {
  const settings = fragmentToSettings(location.hash);
  if (settings) {
    history.replaceState(null, "", location.pathname + location.search);
    return { ...defaultSettings(capabilities), ...settings };
  }
  return null;
}

async function openGallery() {
  const gallery = new Gallery(await openStore());
  gallery.addEventListener("again", ({ detail }) => useSettings(detail));
  gallery.addEventListener("same-seed", ({ detail }) => useSettings(detail));
  await gallery.load();
  return gallery;
}
