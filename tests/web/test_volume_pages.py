"""The pages of a generator and a restorer of volumes, in a browser: slices, the surface, files that are saved."""

import io
from pathlib import Path

import numpy as np
import pytest

from tests.web.chromium import Page
from tests.web.pictures import STATUS
from tests.web.test_gan_page import normals

stand_ins = pytest.importorskip("tests.web.stand_ins", reason="needs onnx")
nibabel = pytest.importorskip("nibabel", reason="needs pip install 'jaxgen[volumes]'")
SAVING = """(click => {
  HTMLAnchorElement.prototype.click = function () { window.saved = this.download; };
  URL.createObjectURL = (blob) => ((window.blob = blob), "#");
})()"""


def canvas(page: Page, name: str) -> np.ndarray:
    """uint8 (h, w, 4) of a canvas."""
    height, width, data = page.run(
        "(c => [c.height, c.width, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]])"
        f"(document.querySelector('#{name}'))"
    )
    return np.array(data, np.uint8).reshape(height, width, 4)


def saved(page: Page) -> bytes:
    page.wait("window.blob")
    return bytes(page.run("blob.arrayBuffer().then(b => Array.from(new Uint8Array(b)))"))


def shares(page: Page) -> np.ndarray:
    return np.array(page.run("[...jaxgen.volume().data]")).reshape(stand_ins.VOLUME_SIZES)


def expected_shares(seed: int) -> np.ndarray:
    latents = normals(seed, stand_ins.LATENT_DIM)
    return stand_ins.expected_volumes(latents[None].astype(np.float32))[0, ..., 0] / 2 + 0.5


def test_a_seed_gives_the_models_volume_and_each_slice_of_it(page: Page, address: str) -> None:
    page.media(prefers_reduced_motion="reduce")
    page.open(f"{address}#model=ball&seed=5")
    volume = expected_shares(5)
    np.testing.assert_allclose(shares(page), volume, atol=1e-5)
    for axis, size in enumerate(stand_ins.VOLUME_SIZES):
        page.set("#slice-axis", axis, "change")
        assert page.run("document.querySelector('#slice-value').textContent") == f"{size // 2 + 1} of {size}"
        page.set("#slice", 1)
        shown = canvas(page, "slice-after")
        np.testing.assert_allclose(shown[..., 0], 255 * volume.take(1, axis), atol=1)
        assert (shown[..., 3] == 255).all()
    assert page.run("document.querySelector('#gan-image').hidden")
    assert page.problems == []


def test_the_surface_is_that_of_the_volume_seen_from_the_front_and_it_turns(page: Page, address: str) -> None:
    from jaxgen.images import BACKGROUND
    from jaxgen.volumes.pictures import PIXELS, surface_view

    page.media(prefers_reduced_motion="reduce")
    page.open(f"{address}#model=ball&seed=5")
    front = canvas(page, "surface")
    view = surface_view(np.rint(255 * expected_shares(5)).astype(np.uint8)[..., None])
    assert front.shape == (480, 480, 4)
    places = np.minimum(np.arange(PIXELS) * 480 // PIXELS + 2, 479)
    seen, expected = front[places][:, places, 3] > 0, view != BACKGROUND
    assert (seen & expected).sum() / (seen | expected).sum() > 0.88
    both = seen & expected
    greys = front[places][:, places, 0].astype(float)[both], view.astype(float)[both]
    assert np.corrcoef(*greys)[0, 1] > 0.7  # the light falls on it in the same way
    page.run("document.querySelector('#surface').focus()")
    for _ in range(3):
        page.press("ArrowRight")
    side = canvas(page, "surface")
    assert np.abs(side.astype(int) - front).mean() > 2
    page.click("#turn")
    page.run("new Promise(done => setTimeout(done, 700))")
    page.click("#turn")
    assert np.abs(canvas(page, "surface").astype(int) - side).mean() > 0.5


def test_surface_and_volume_are_saved(page: Page, address: str) -> None:
    page.open(f"{address}#model=ball&seed=5")
    page.run(SAVING)
    page.click("#save-surface")
    page.idle()
    assert page.run("saved") == "ball-5.stl"
    data = saved(page)
    kind = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    a, b, c = np.moveaxis(np.frombuffer(data, kind, offset=84)["corners"].astype(float), 1, 0)
    inside = np.sum(a * np.cross(b, c)) / 6
    assert inside == pytest.approx(np.sum(expected_shares(5) > 0.5), rel=0.25)
    page.click("#save-volume")
    page.idle()
    assert page.run("saved") == "ball-5.nii"
    image = nibabel.Nifti1Image.from_bytes(saved(page))
    np.testing.assert_allclose(np.asarray(image.dataobj).T, 255 * expected_shares(5), atol=0.51)


def test_a_volume_is_restored_and_saved_with_its_header(page: Page, address: str, tmp_path: Path) -> None:
    volume = np.random.default_rng(0).integers(-300, 900, (6, 7, 5)).astype(np.int16)
    image = nibabel.Nifti1Image(volume.T, np.diag([1.0, 2.0, 3.0, 1.0]))
    image.header["descrip"] = b"a head"
    nibabel.save(image, tmp_path / "head.nii.gz")
    page.media(prefers_reduced_motion="reduce")
    page.open(f"{address}#model=scan")
    page.choose("#file", tmp_path / "head.nii.gz")
    page.wait(f"{STATUS}.startsWith('head.nii.gz, 6 × 7 × 5 voxels')")
    page.click("#restore")
    page.idle()
    assert page.run(STATUS).startswith("Restored in ")
    low, high = int(volume.min()), int(volume.max())
    before = (volume - low) / (high - low)
    after = np.clip(stand_ins.expected_scan(2 * before[None, ..., None] - 1)[0, ..., 0] / 2 + 0.5, 0, 1)
    page.set("#slice", 2)
    np.testing.assert_allclose(canvas(page, "slice-before")[..., 0], 255 * before[2], atol=1)
    np.testing.assert_allclose(canvas(page, "slice-after")[..., 0], 255 * after[2], atol=1)
    page.run(SAVING)
    page.click("#download")
    page.idle()
    assert page.run("saved") == "restored.nii.gz"
    (tmp_path / "again.nii.gz").write_bytes(saved(page))
    again = nibabel.load(tmp_path / "again.nii.gz")
    assert again.header == nibabel.load(tmp_path / "head.nii.gz").header
    np.testing.assert_allclose(np.asarray(again.dataobj).T, low + after * (high - low), atol=0.51)
    assert page.problems == []


def test_a_file_that_is_no_volume_is_refused_in_one_line_and_another_one_taken(
    page: Page, address: str, tmp_path: Path
) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5, 6), np.float32), np.eye(4)), tmp_path / "times.nii")
    page.open(f"{address}#model=scan")
    page.choose("#file", tmp_path / "times.nii")
    page.wait(f"{STATUS} !== ''")
    said = page.run(STATUS)
    assert said.startswith("times.nii cannot be opened: it has 4 axes (3 × 4 × 5 × 6); accepted: one volume")
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((3, 4, 5), np.float32), allow_pickle=False)
    (tmp_path / "good.npy").write_bytes(buffer.getvalue())
    page.choose("#file", tmp_path / "good.npy")
    page.wait(f"{STATUS}.startsWith('good.npy, 3 × 4 × 5 voxels')")
    assert page.run("document.querySelector('#surface').classList.contains('empty')")
    assert page.problems == []


def test_the_other_kinds_of_model_show_nothing_of_volumes(page: Page, address: str) -> None:
    page.open(f"{address}#model=ball&seed=5")
    for model, section in (("linear", "#gan"), ("mean", "#photo")):
        page.set("#model", model, "change")
        page.wait(f"!document.querySelector('{section}').hidden && document.querySelector('#loading').hidden")
        page.idle()
        assert page.run("document.querySelector('#volume').hidden")
    assert "picture" in page.run("document.querySelector('#drop').innerText")
    assert page.run("document.querySelector('#file').accept") == "image/*"
