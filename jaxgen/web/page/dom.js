// Small helpers for elements of the page.

export const find = (id) => document.getElementById(id);

/** Shows a slider's value as text, beside it and for screen readers. */
export function showValue(id, text) {
  find(`${id}-value`).textContent = text;
  find(id).setAttribute("aria-valuetext", text);
}
