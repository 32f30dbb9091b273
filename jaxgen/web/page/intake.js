// The ways in which a user gives a picture or a volume: a file chosen, dropped or pasted, and the example.
import { find } from "./dom.js";

const ACCEPTED = { picture: "image/*", volume: ".nii,.gz,.npy" };

/**
 * Calls `take(promise of a blob, its name)` for each picture, or for each `what`; `example` is the address of the
 * example, if there is one.
 */
export function openIntake(example, take, signal, what = "picture") {
  find("file").accept = ACCEPTED[what];
  for (const part of document.querySelectorAll("[data-intake]")) part.hidden = part.dataset.intake !== what;
  find("choose").textContent = `Choose a ${what}`;
  const on = (target, event, handler) => target.addEventListener(event, handler, { signal });
  const takeFile = (file) => file && take(Promise.resolve(file), file.name || `The ${what}`);
  for (const id of ["choose", "another", "other", "next"]) on(find(id), "click", () => find("file").click());
  on(find("file"), "change", () => {
    takeFile(find("file").files[0]);
    find("file").value = ""; // so that the same file can be chosen again
  });
  on(find("example"), "click", () => take(fetch(example).then((answer) => answer.blob()), "The example"));
  on(document, "paste", ({ clipboardData }) => takeFile(clipboardData.files[0]));
  on(document, "dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  for (const event of ["dragleave", "drop"]) on(document, event, () => document.body.classList.remove("dragging"));
  on(document, "drop", (event) => {
    event.preventDefault();
    takeFile(event.dataTransfer.files[0]);
  });
  find("drop").hidden = false;
  find("workbench").hidden = true;
  find("example").hidden = !example;
}

/** Returns a picture as a bitmap, or null after the user was told that it cannot be read. */
export async function readBitmap(picture, name, say) {
  try {
    const blob = await picture;
    if (blob.type && !blob.type.startsWith("image/")) throw new TypeError("not a picture");
    return await createImageBitmap(blob);
  } catch {
    say(`${name} is not a picture that this browser can read; accepted: JPEG, PNG and WebP files.`, true);
    return null;
  }
}

/** Shows the workbench in place of the invitation, with the status beside its buttons. */
export function showWorkbench() {
  find("drop").hidden = true;
  find("workbench").hidden = false;
  find("actions").after(find("status"));
}

/** Shows how much is done; a total of 0 hides the bar. */
export function showProgress(done, total) {
  find("working").hidden = total === 0;
  if (total > 1) find("progress").value = done / total;
  else find("progress").removeAttribute("value");
}
