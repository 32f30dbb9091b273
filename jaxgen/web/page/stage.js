// The picture on the page: the damaged one with the marks of the brush, the restored one over it, and their divider.
// For a network that enlarges, these are the bicubic enlargement and that of the network.

import { find } from "./dom.js";

const titled = (word) => word[0].toUpperCase() + word.slice(1);

/**
 * @param words {before, after}: what is left of the divider, and right of it.
 * @param paints whether there is a brush, for a network that fills what it paints over.
 * @param onPaint called after each stroke of the brush.
 */
export function openStage(signal, { before, after }, paints = false, onPaint = () => {}) {
  const [frame, damaged, restored, slider] = ["stage", "damaged", "restored", "compare"].map(find);
  const marks = document.createElement("canvas"); // opaque where the brush painted
  let shown = false; // whether there is a picture
  let brush = Number(find("brush").value); // diameter, in pixels of the picture
  let cursor = { x: 0, y: 0 };
  let painted = false;
  let comparing = false;
  const on = (element, event, handler) => element.addEventListener(event, handler, { signal });
  for (const element of document.querySelectorAll(".painting")) element.hidden = !paints;
  const keys = paints ? " Arrow keys move the brush, space paints." : "";
  damaged.setAttribute("aria-label", `${titled(before)} picture.${keys}`);
  restored.setAttribute("aria-label", `${titled(after)} picture`);
  slider.setAttribute("aria-label", `Divider between ${before} and ${after}`);
  find("before").textContent = titled(before);
  find("after").textContent = titled(after);
  damaged.setAttribute("role", paints ? "application" : "img");
  damaged.tabIndex = paints ? 0 : -1;
  frame.classList.toggle("plain", !paints);

  const colour = () => getComputedStyle(frame).getPropertyValue("--mark");

  function open(width, height) {
    for (const canvas of [damaged, restored, marks]) Object.assign(canvas, { width, height });
    cursor = { x: width / 2, y: height / 2 };
    frame.style.aspectRatio = `${width} / ${height}`;
    frame.style.setProperty("--ratio", width / height);
    frame.style.setProperty("--actual", `${width / devicePixelRatio}px`);
    frame.classList.toggle("small", width <= 64);
    find("brush").max = Math.max(8, Math.round(Math.min(width, height) / 5));
    setBrush(find("brush").value = Math.max(2, Math.round(Math.min(width, height) / 24)));
    painted = false; // a canvas that gets a size is empty
  }

  /** Shows a pixel of the picture as one of the screen, in a window to scroll, or the whole picture. */
  function showActual(actual) {
    const view = find("view");
    view.classList.toggle("actual", actual);
    view.scrollTo((view.scrollWidth - view.clientWidth) / 2, (view.scrollHeight - view.clientHeight) / 2);
  }

  function clear() {
    painted = false;
    marks.getContext("2d").clearRect(0, 0, marks.width, marks.height);
  }

  function showDamaged(image) {
    shown = true;
    const context = damaged.getContext("2d");
    context.putImageData(image, 0, 0);
    if (painted) context.drawImage(marks, 0, 0);
  }

  /** Paints a line from the cursor to (x, y), or a dot if both are the same. */
  function paintTo(x, y) {
    for (const context of [marks.getContext("2d"), damaged.getContext("2d")]) {
      Object.assign(context, { strokeStyle: colour(), fillStyle: colour(), lineWidth: brush, lineCap: "round" });
      context.beginPath();
      if (x === cursor.x && y === cursor.y) {
        context.arc(x, y, brush / 2, 0, 2 * Math.PI); // a canvas does not draw lines of length 0
        context.fill();
      } else {
        context.moveTo(cursor.x, cursor.y);
        context.lineTo(x, y);
        context.stroke();
      }
    }
    cursor = { x, y };
    painted = true;
    onPaint();
  }

  /** Returns a Uint8Array with 1 where the brush painted. */
  function mask() {
    const { data } = marks.getContext("2d").getImageData(0, 0, marks.width, marks.height);
    return Uint8Array.from({ length: data.length / 4 }, (_, i) => (data[4 * i + 3] >= 128 ? 1 : 0));
  }

  function compare(both) {
    comparing = both;
    for (const id of ["restored", "divider", "compare-row"]) find(id).hidden = !both;
    find("brush-ring").hidden = true;
    if (both) divide(50);
  }

  function divide(percent) {
    slider.value = percent;
    slider.setAttribute("aria-valuetext", `${Math.round(percent)}% ${before}, ${Math.round(100 - percent)}% ${after}`);
    frame.style.setProperty("--divider", `${percent}%`);
  }

  // ---- pointer and keys ----

  const place = ({ clientX, clientY }) => {
    const box = damaged.getBoundingClientRect();
    return { x: ((clientX - box.left) / box.width) * damaged.width, y: ((clientY - box.top) / box.height) * damaged.height };
  };

  function showRing() {
    const box = damaged.getBoundingClientRect();
    const scale = box.width / damaged.width;
    const ring = find("brush-ring");
    ring.hidden = comparing || !paints;
    Object.assign(ring.style, { left: `${cursor.x * scale}px`, top: `${cursor.y * scale}px`, width: `${brush * scale}px` });
  }

  function setBrush(size) {
    brush = Number(size);
    if (shown) showRing();
  }

  on(frame, "pointerdown", (event) => {
    if (event.button !== 0) return;
    frame.setPointerCapture(event.pointerId);
    const { x, y } = place(event);
    if (comparing) return divide(Math.min(100, Math.max(0, (100 * x) / damaged.width)));
    if (!paints) return;
    cursor = { x, y };
    paintTo(x, y);
  });
  on(frame, "pointermove", (event) => {
    const { x, y } = place(event);
    const pressed = frame.hasPointerCapture(event.pointerId);
    if (comparing) {
      if (pressed) divide(Math.min(100, Math.max(0, (100 * x) / damaged.width)));
      return;
    }
    if (pressed && paints) paintTo(x, y);
    cursor = { x, y };
    showRing();
  });
  on(frame, "pointerleave", () => (find("brush-ring").hidden = true));
  on(damaged, "focus", showRing);
  on(damaged, "blur", () => (find("brush-ring").hidden = true));
  on(damaged, "keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], " ": [0, 0] }[event.key];
    if (!way || comparing || !paints) return;
    event.preventDefault();
    const within = (value, size) => Math.min(size, Math.max(0, value));
    const step = Math.max(1, brush / 2);
    const [x, y] = [within(cursor.x + step * way[0], damaged.width), within(cursor.y + step * way[1], damaged.height)];
    if (event.key === " ") paintTo(x, y);
    cursor = { x, y };
    showRing();
  });
  on(slider, "input", () => divide(Number(slider.value)));

  return {
    open, clear, showDamaged, showActual, mask, compare, setBrush,
    showRestored: (image) => restored.getContext("2d").putImageData(image, 0, 0),
    isPainted: () => painted,
  };
}
