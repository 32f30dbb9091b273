// Conversion between the state of the page and the part of its address after #. An address determines the picture:
//   #model=cgan&seed=7&class=3&mix=5:0.4&truncation=0.7&move=0:1.5,2:-0.3&to=8&at=0.25
// mix: second class and its share; truncation: factor of the seed's latents; move: components set by sliders; to, at:
// another seed, and the share of the way to it.
import { integers } from "./latents.js";

const SEEDS = 2 ** 32;

export const isSeed = (value) => Number.isInteger(value) && value >= 0 && value < SEEDS;

export const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

/** Returns the seed that follows this one when playing. */
export const seedAfter = (seed) => integers(seed)();

/** Returns the id of the model in an address, or null. */
export const modelIn = (hash) => new URLSearchParams(hash.slice(1)).get("model");

/** Returns the state of a generator from an address; missing or invalid fields get defaults, the seed a random one. */
export function parse(hash, { labels, directions }) {
  const fields = new URLSearchParams(hash.slice(1));
  const number = (text) => (text === null || text.trim() === "" ? NaN : Number(text));
  const share = (text) => Math.min(1, Math.max(0, number(text) || 0));
  const seedIn = (name) => (isSeed(number(fields.get(name))) ? number(fields.get(name)) : null);
  const label = (text) => Math.max(0, labels.indexOf(text));
  const mix = fields.get("mix") ?? "";
  const colon = mix.lastIndexOf(":"); // the name of a class may contain a colon, too
  const moves = {};
  for (const pair of (fields.get("move") ?? "").split(",")) {
    const [index, component] = pair.split(":").map(number);
    if (directions[index] && Math.abs(component) <= 4) moves[index] = component;
  }
  const to = seedIn("to");
  return {
    seed: seedIn("seed") ?? randomSeed(),
    to,
    at: to === null ? 0 : share(fields.get("at")),
    first: label(fields.get("class")),
    second: colon < 0 ? Math.min(1, Math.max(0, labels.length - 1)) : label(mix.slice(0, colon)),
    mix: colon < 0 ? 0 : share(mix.slice(colon + 1)),
    truncation: Number.isNaN(number(fields.get("truncation"))) ? 1 : share(fields.get("truncation")),
    moves,
  };
}

/** Returns the address of a state, from # on. */
export function format(id, { labels }, { seed, to, at, first, second, mix, truncation, moves }) {
  const fields = new URLSearchParams({ model: id, seed });
  if (labels.length) fields.set("class", labels[first]);
  if (mix > 0) fields.set("mix", `${labels[second]}:${mix}`);
  if (truncation < 1) fields.set("truncation", truncation);
  if (Object.keys(moves).length) fields.set("move", Object.entries(moves).map((pair) => pair.join(":")).join(","));
  if (to !== null) {
    fields.set("to", to);
    fields.set("at", at);
  }
  return `#${fields.toString().replaceAll("%3A", ":").replaceAll("%2C", ",")}`;
}
