// Reads models.json, offers a choice of models, and opens the part of the page for the kind of the chosen one.
import { modelIn } from "./address.js";
import { find } from "./dom.js";
import { loadModel } from "./engine.js";
import { openGan } from "./gan.js";
import { openRestorer } from "./restorer.js";
import { openUpscaler } from "./upscaler.js";
import { openVolumeRestorer } from "./volume_restorer.js";

const KINDS = {
  gan: { heading: "Generate pictures", section: "gan", openKind: openGan },
  restorer: { heading: "Restore a picture", section: "photo", openKind: openRestorer },
  upscaler: { heading: "Enlarge a picture", section: "photo", openKind: openUpscaler },
  "gan-volume": { heading: "Generate volumes", section: "gan", openKind: openGan },
  "restorer-volume": { heading: "Restore a volume", section: "photo", openKind: openVolumeRestorer },
};

const kindOf = ({ kind, image }) => ("depth" in image ? `${kind}-volume` : kind);

/** Shows a line at the bottom of the page; screen readers read it out. */
function say(text, problem = false) {
  find("status").textContent = text;
  find("status").classList.toggle("problem", problem);
}

function showLoading(name) {
  for (const id of ["gan", "photo"]) find(id).hidden = true;
  find("loading").hidden = false;
  find("loading-bar").removeAttribute("value");
  find("loading-text").textContent = `Loading ${name}`;
  return (loaded, total) => {
    if (total >= loaded) find("loading-bar").value = loaded / total;
    find("loading-text").textContent = `Loading ${name}: ${(loaded / 1e6).toFixed(1)} MB`;
  };
}

function describe(model) {
  const data = model.data ? `Trained on ${model.data}. ` : "";
  const stated = model.licence && model.licence !== "not stated";
  return `${data}Licence of the weights: ${stated ? model.licence : "none stated; ask who trained them"}.`;
}

/**
 * Data for tests and for use in the browser's console: `await jaxgen.idle()` waits until all computations are done;
 * `jaxgen.latents()` and `jaxgen.condition()` are the inputs of the generator, `jaxgen.damaged()` and
 * `jaxgen.missing()` those of a restorer; `jaxgen.picture()` is the result, {width, height, data: RGBA bytes}, and
 * `jaxgen.volume()` that of a model of volumes.
 */
window.jaxgen = { idle: () => opened };

let opened = null; // a promise for the model that is open
let closing = new AbortController(); // removes the event handlers of the open model when aborted
let openId = null;

async function open(model) {
  closing.abort();
  closing = new AbortController();
  const { signal } = closing;
  const kind = kindOf(model);
  const { heading, section, openKind } = KINDS[kind];
  openId = model.id;
  document.title = model.name;
  find("title").textContent = find("model").length < 2 ? model.name : heading; // the choice shows the name
  find("about").textContent = describe(model);
  find("model").value = model.id;
  say("");
  document.querySelector("main").append(find("status")); // a restorer puts it beside its button
  const watch = showLoading(model.name);
  try {
    const { threads } = await loadModel({ model: model.file, ...(model.estimator && { estimator: model.estimator.file }) }, watch);
    document.documentElement.dataset.threads = threads;
    if (signal.aborted) return;
    const hooks = await openKind(model, say, signal);
    if (signal.aborted) return;
    window.jaxgen = { idle: () => opened.then(() => hooks.idle()), ...hooks.read };
    find("loading").hidden = true;
    for (const part of document.querySelectorAll("[data-kind]")) {
      part.hidden = !part.dataset.kind.split(" ").includes(kind);
    }
    find(section).hidden = false;
  } catch (error) {
    find("loading").hidden = true;
    say(`${model.name} could not be loaded: ${error.message}`, true);
  }
}

async function start() {
  const page = await (await fetch("models.json")).json();
  const models = page.models.map((model) => ({ ...model, example: page.example }));
  const asked = () => models.find(({ id }) => id === modelIn(location.hash)) ?? models[0];
  find("model").replaceChildren(...models.map(({ id, name }) => new Option(name, id)));
  find("model-choice").hidden = models.length < 2;
  find("model").addEventListener("change", () => (location.hash = `#model=${find("model").value}`));
  window.addEventListener("hashchange", () => {
    if (asked().id !== openId) opened = open(asked());
  });
  await (opened = open(asked()));
}

opened = start().catch((error) => {
  find("loading").hidden = true;
  say(`The list of models could not be loaded: ${error.message}`, true);
});
