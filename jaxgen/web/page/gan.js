// The part of the page for a generator of pictures or volumes: seeds, classes, directions, playing from seed to seed.
import { format, isSeed, parse, randomSeed, seedAfter } from "./address.js";
import { run } from "./engine.js";
import { dot, latentsOf, move } from "./latents.js";
import { saveFile, savePng, toImageData } from "./pixels.js";
import { find, showValue } from "./dom.js";
import { stlBytes } from "./surface.js";
import { niftiBytes } from "./volume_files.js";
import { openVolumeView, projected, toVolumes } from "./volume_view.js";

const SECONDS_PER_SEED = 2.5; // when playing, from one seed to the next
const RANGE = 3; // of the sliders, in standard deviations
const MAX_CHIPS = 12; // more classes are shown as a list

/** Opens the part of the page for `model` (an entry of models.json); aborting `signal` removes its handlers. */
export async function openGan(model, say, signal) {
  const { labels, directions, latent_dim: size } = model;
  let state = parse(location.hash, model);
  let shown = null; // {latents, condition, image, volume} of what is on the page
  let busy = Promise.resolve();
  let frame = 0; // id of the animation frame; 0 while paused
  const chips = labels.length <= MAX_CHIPS ? makeChips(labels) : [];
  const sliders = makeSliders(directions.length);
  const view = "depth" in model.image ? openVolumeView(find("gan-volume"), signal) : null;
  const on = (id, event, handler) => find(id).addEventListener(event, handler, { signal });
  signal.addEventListener("abort", () => stop());

  // ---- pictures ----

  function condition(first, second = first, mix = 0) {
    const shares = new Float32Array(labels.length);
    shares[first] += 1 - mix;
    shares[second] += mix;
    return shares;
  }

  async function generate(latents, conditions) {
    const feeds = { latents: { data: Float32Array.from(latents.flatMap((z) => [...z])), dims: [latents.length, size] } };
    if (labels.length) {
      const data = Float32Array.from(conditions.flatMap((shares) => [...shares]));
      feeds.condition = { data, dims: [conditions.length, labels.length] };
    }
    const { images } = await run(feeds);
    const pictures = toImageData(view ? projected(images) : images);
    return { pictures, volumes: view ? toVolumes(images) : [] };
  }

  const current = () => [latentsOf(state, directions, size), condition(state.first, state.second, state.mix)];

  async function draw() {
    const [latents, shares] = current();
    const { pictures: [image], volumes: [volume] } = await generate([latents], [shares]);
    if (signal.aborted) return;
    shown = { latents: Float32Array.from(latents), condition: shares, image, volume };
    if (view) view.show(volume);
    else paint(find("gan-image"), image);
    sliders.forEach(({ input }, i) => {
      if (document.activeElement !== input || frame) input.value = dot(latents, directions[i]);
    });
  }

  /** Draws the small pictures: each class with the same latents, each direction at both ends. */
  async function drawThumbnails() {
    const [latents, shares] = current();
    const ends = directions.flatMap((_, i) => [-RANGE, RANGE].map((end) => move(latents, directions, { [i]: end })));
    const all = [...chips.map(() => latents), ...ends];
    if (!all.length) return;
    const { pictures: images } = await generate(all, [...chips.map((_, i) => condition(i)), ...ends.map(() => shares)]);
    if (signal.aborted) return;
    const canvases = [...chips.map(({ canvas }) => canvas), ...sliders.flatMap(({ ends: pair }) => pair)];
    canvases.forEach((canvas, i) => paint(canvas, images[i]));
  }

  let timer = 0;
  let wanted = false;
  /** Draws the current state once the last drawing is done; several calls in between give one drawing. */
  function update() {
    settleSoon();
    if (wanted) return;
    wanted = true;
    busy = busy.then(async () => {
      wanted = false;
      await draw();
    }).catch((error) => say(`The picture could not be drawn: ${error.message}`, true));
  }

  function settleSoon() {
    clearTimeout(timer);
    if (!frame) timer = setTimeout(() => (busy = busy.then(settle)), 120);
  }

  async function settle() {
    timer = 0;
    if (signal.aborted) return;
    history.replaceState(null, "", format(model.id, model, state));
    await drawThumbnails();
  }

  async function idle() {
    for (let last = null; last !== busy || timer; await busy) {
      last = busy;
      if (timer) await new Promise((done) => setTimeout(done, 30));
    }
  }

  // ---- controls ----

  function change(part) {
    state = { ...state, ...part };
    showState();
    update();
  }

  function showState() {
    find("seed").value = state.seed;
    find("reset").disabled = !Object.keys(state.moves).length;
    for (const { radio } of chips) radio.checked = Number(radio.value) === state.first;
    find("class-list").value = state.first;
    find("mix-class").value = state.second;
    find("mix").value = state.mix;
    showValue("mix", `${Math.round(100 * state.mix)}%`);
    find("truncation").value = state.truncation;
    showValue("truncation", state.truncation.toFixed(2));
    const name = labels.length ? `, class ${labels[state.first]}` : "";
    find("gan-image").setAttribute("aria-label", `Generated picture, seed ${state.seed}${name}`);
  }

  function surprise() {
    stop();
    change({ seed: randomSeed(), to: null, at: 0, moves: {} });
    say(`Seed ${state.seed}`);
  }

  function play() {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches; // jump from seed to seed without frames in between
    let before = performance.now();
    const step = (now) => {
      const part = (now - before) / 1000 / SECONDS_PER_SEED;
      const at = state.at + part;
      if (state.to === null) change({ to: seedAfter(state.seed), at: 0 });
      else if ((still ? part : at) >= 1) change({ seed: state.to, to: seedAfter(state.to), at: 0 });
      else if (!still) change({ at });
      if (!still || part >= 1) before = now;
      frame = requestAnimationFrame(step);
    };
    frame = requestAnimationFrame(step);
    find("play").textContent = "Pause";
    find("play").setAttribute("aria-pressed", "true");
  }

  function stop() {
    if (!frame) return;
    cancelAnimationFrame(frame);
    frame = 0;
    find("play").textContent = "Play";
    find("play").setAttribute("aria-pressed", "false");
    if (!signal.aborted) change({ at: Math.round(1000 * state.at) / 1000 }); // rounded as in the address
  }

  async function share() {
    await busy;
    history.replaceState(null, "", format(model.id, model, state));
    try {
      await navigator.clipboard.writeText(location.href);
      say("The link to this picture is copied.");
    } catch {
      say("The browser does not allow copying here; the link is in the address bar.", true);
    }
  }

  async function save() {
    await savePng(shown.image, `${model.id}-${state.seed}.png`);
    say(`Saved as ${model.id}-${state.seed}.png`);
  }

  function saveVolume(suffix) {
    const { data, sizes } = shown.volume;
    if (suffix === ".stl" && view.surface().faces.length === 0) {
      return say("This volume is empty, so it has no surface; another seed may have one.", true);
    }
    const bytes = suffix === ".stl" ? stlBytes(view.surface()) : niftiBytes(data.map((share) => Math.round(255 * share)), sizes);
    saveFile(new Blob([bytes]), `${model.id}-${state.seed}${suffix}`);
    say(`Saved as ${model.id}-${state.seed}${suffix}`);
  }

  on("save", "click", () => (busy = busy.then(save)));
  on("save-surface", "click", () => (busy = busy.then(() => saveVolume(".stl"))));
  on("save-volume", "click", () => (busy = busy.then(() => saveVolume(".nii"))));
  on("surprise", "click", surprise);
  on("play", "click", () => (frame ? stop() : play()));
  on("share", "click", share);
  on("seed", "change", () => {
    const seed = find("seed").value.trim() === "" ? NaN : Number(find("seed").value);
    if (!isSeed(seed)) {
      say("A seed is a whole number from 0 to 4294967295.", true);
      return;
    }
    stop();
    change({ seed, to: null, at: 0, moves: {} });
    say(`Seed ${seed}`);
  });
  on("reset", "click", () => {
    change({ moves: {} });
    say("The sliders are reset to the values of the seed.");
  });
  on("truncation", "input", () => change({ truncation: Number(find("truncation").value) }));
  on("mix", "input", () => change({ mix: Number(find("mix").value) }));
  on("mix-class", "change", () => change({ second: Number(find("mix-class").value), mix: state.mix || 0.5 }));
  on("class-list", "change", () => change({ first: Number(find("class-list").value) }));
  for (const { radio } of chips) {
    radio.addEventListener("change", () => change({ first: Number(radio.value) }), { signal });
  }
  sliders.forEach(({ input }, i) => {
    const set = () => change({ moves: { ...state.moves, [i]: Number(input.value) } });
    input.addEventListener("input", set, { signal });
  });
  window.addEventListener("hashchange", () => {
    stop();
    if (format(model.id, model, state) !== location.hash) change(parse(location.hash, model));
  }, { signal });

  find("class-controls").hidden = labels.length === 0;
  find("class-list").hidden = chips.length > 0;
  for (const id of ["class-list", "mix-class"]) find(id).replaceChildren(...labels.map((name, i) => new Option(name, i)));
  find("gan-image").classList.toggle("small", model.image.width <= 64);
  showState();
  update();
  await idle();
  const read = {
    latents: () => [...shown.latents],
    condition: () => [...shown.condition],
    picture: () => shown.image,
    volume: () => shown.volume,
  };
  return { idle, read };
}

function paint(canvas, image) {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Creates a radio button for each class, with a small picture of it. */
function makeChips(labels) {
  const chips = labels.map((name, i) => {
    const [label, radio, canvas] = ["label", "input", "canvas"].map((tag) => document.createElement(tag));
    Object.assign(radio, { type: "radio", name: "class", value: i });
    canvas.setAttribute("aria-hidden", "true");
    label.append(radio, canvas, name);
    return { label, radio, canvas };
  });
  find("classes").replaceChildren(...chips.map(({ label }) => label));
  return chips;
}

/** Creates a slider for each direction, between small pictures of its ends. */
function makeSliders(count) {
  const sliders = Array.from({ length: count }, (_, i) => {
    const [row, input] = ["div", "input"].map((tag) => document.createElement(tag));
    row.className = "direction";
    Object.assign(input, { type: "range", min: -RANGE, max: RANGE, step: 0.01 });
    input.setAttribute("aria-label", `Direction ${i + 1}`);
    const ends = [0, 1].map(() => document.createElement("canvas"));
    for (const canvas of ends) canvas.setAttribute("aria-hidden", "true");
    row.append(ends[0], input, ends[1]);
    return { row, input, ends };
  });
  find("directions").replaceChildren(...sliders.map(({ row }) => row));
  return sliders;
}
