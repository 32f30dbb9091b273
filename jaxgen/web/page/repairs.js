// Switches for what to repair, one for each repair that the network can be told about.
import { find } from "./dom.js";

const USUAL = ["noise", "jpeg"]; // on at first: they do no harm to a picture that has none of it
const UNKNOWN = -1; // the level of damage that the network finds itself; 0 repairs nothing
const LEVELS = { blur: 1.2, scratches: 0.03, dust: 0.03 }; // levels of what it finds less of by itself: pixels, shares

const labelOf = (name) => (name === "jpeg" ? "JPEG" : (name[0].toUpperCase() + name.slice(1)).replaceAll("_", " "));

/** Shows a switch for each name; returns a function that returns their levels, none for a network that is told nothing. */
export function openRepairs(names, onChange, signal) {
  const usual = names.filter((name) => USUAL.includes(name));
  const switches = names.map((name) => {
    const box = document.createElement("input");
    Object.assign(box, { type: "checkbox", id: `repair-${name}`, checked: (usual.length ? usual : names).includes(name) });
    box.addEventListener("change", onChange, { signal });
    return box;
  });
  const labels = switches.map((box, i) => {
    const label = document.createElement("label");
    label.append(box, labelOf(names[i]));
    return label;
  });
  find("repairs").hidden = names.length === 0;
  find("switches").replaceChildren(...labels);
  return () => Float32Array.from(switches, ({ checked }, i) => (checked ? (LEVELS[names[i]] ?? UNKNOWN) : 0));
}
