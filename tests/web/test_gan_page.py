"""The page of a generator, in a browser: the pictures are those of the model, the address says which."""

import io
import math
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from tests.web.chromium import Page

stand_ins = pytest.importorskip("tests.web.stand_ins", reason="needs onnx")
M = 2**32


def sfc32(seed: int) -> Iterator[int]:
    """Written from its published definition (C. Doty-Humphrey, PractRand), with the page's constants."""
    a, b, c, counter = seed, 0x9E3779B9, 0x243F6A88, 1
    for i in range(10_000):
        result = (a + b + counter) % M
        counter = (counter + 1) % M
        a = b ^ (b >> 9)
        b = (c + (c << 3)) % M
        c = (((c << 21) % M | c >> 11) + result) % M
        if i >= 16:
            yield result


def normals(seed: int, count: int) -> np.ndarray:
    uniform = ((value + 0.5) / M for value in sfc32(seed))
    values: list[float] = []
    while len(values) < count:
        radius, angle = math.sqrt(-2 * math.log(next(uniform))), 2 * math.pi * next(uniform)
        values += [radius * math.cos(angle), radius * math.sin(angle)]
    return np.array(values[:count])


def picture(page: Page) -> np.ndarray:
    """uint8 (h, w, 3) of what is on the page, and that the canvas shows just this."""
    height, width, data = page.run("(p => [p.height, p.width, [...p.data]])(jaxgen.picture())")
    shown = page.run(
        "(c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data])"
        "(document.querySelector('#gan-image'))"
    )
    assert shown == data
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


def assert_shows(page: Page, latents: np.ndarray, condition: np.ndarray) -> None:
    expected = stand_ins.expected_images(latents[None], condition[None])[0]
    np.testing.assert_allclose(picture(page), (expected + 1) * 127.5, atol=2)


def one_hot(index: int) -> np.ndarray:
    return np.eye(len(stand_ins.LABELS))[index]


def test_a_seed_in_the_address_gives_the_documented_latents_and_the_models_picture(page: Page, address: str) -> None:
    page.open(f"{address}#model=linear&seed=4294967295&class=dog")
    latents = normals(4294967295, stand_ins.LATENT_DIM)
    np.testing.assert_allclose(page.run("jaxgen.latents()"), latents, atol=1e-6)
    assert_shows(page, latents, one_hot(1))
    assert page.problems == []


def test_the_normals_are_normal(page: Page, address: str) -> None:
    page.open(address)
    values = np.array(page.run(f"import('{address}latents.js').then(m => [...m.normals(5, 9999)])"))
    np.testing.assert_allclose(values[:2000], normals(5, 2000), rtol=1e-9)
    assert abs(values.mean()) < 0.04
    assert abs(values.std() - 1) < 0.03


def test_surprise_leaves_an_address_that_gives_the_same_picture(page: Page, address: str) -> None:
    page.open(f"{address}#model=linear&seed=1")
    before = picture(page)
    page.click("#surprise")
    page.idle()
    surprising, link = picture(page), page.run("location.href")
    assert np.abs(surprising.astype(int) - before).max() > 10
    page.open(link)
    np.testing.assert_array_equal(picture(page), surprising)


def test_classes_are_picked_and_mixed(page: Page, address: str) -> None:
    page.open(f"{address}#model=linear&seed=3")
    latents = normals(3, stand_ins.LATENT_DIM)
    assert_shows(page, latents, one_hot(0))
    page.click("#classes input[value='2']")
    page.idle()
    assert_shows(page, latents, one_hot(2))
    page.set("#mix-class", 1, "change")
    page.set("#mix", 0.25)
    page.idle()
    np.testing.assert_allclose(page.run("jaxgen.condition()"), [0, 0.25, 0.75])
    assert_shows(page, latents, np.array([0, 0.25, 0.75]))
    mixed, link = picture(page), page.run("location.href")
    page.open(link)
    np.testing.assert_array_equal(picture(page), mixed)


def test_a_slider_sets_the_component_along_its_direction_by_arrow_keys_too(page: Page, address: str) -> None:
    page.open(f"{address}#model=linear&seed=3")
    start = normals(3, stand_ins.LATENT_DIM)
    direction = np.array(page.run("fetch('models.json').then(r => r.json()).then(p => p.models[0].directions[1])"))
    page.set("#directions .direction:nth-child(2) input", 2)
    page.run("document.querySelector('#directions .direction:nth-child(2) input').focus()")
    for _ in range(10):
        page.press("ArrowRight")
    page.idle()
    expected = start + (2.1 - start @ direction) * direction
    np.testing.assert_allclose(page.run("jaxgen.latents()"), expected, atol=1e-5)
    assert_shows(page, expected, one_hot(0))
    page.click("#reset")
    page.idle()
    np.testing.assert_allclose(page.run("jaxgen.latents()"), start, atol=1e-6)


def test_truncation_scales_the_latents_of_the_seed_and_is_in_the_address(page: Page, address: str) -> None:
    page.open(f"{address}#model=linear&seed=3")
    start = normals(3, stand_ins.LATENT_DIM)
    np.testing.assert_allclose(page.run("jaxgen.latents()"), start, atol=1e-6)
    page.set("#truncation", 0.6)
    page.idle()
    np.testing.assert_allclose(page.run("jaxgen.latents()"), 0.6 * start, atol=1e-6)
    assert_shows(page, 0.6 * start, one_hot(0))
    link = page.run("location.href")
    page.set("#directions .direction:nth-child(1) input", 2)  # what a slider sets is not scaled
    page.idle()
    direction = np.array(page.run("fetch('models.json').then(r => r.json()).then(p => p.models[0].directions[0])"))
    expected = 0.6 * start + (2 - 0.6 * start @ direction) * direction
    np.testing.assert_allclose(page.run("jaxgen.latents()"), expected, atol=1e-5)
    page.open(link)
    np.testing.assert_allclose(page.run("jaxgen.latents()"), 0.6 * start, atol=1e-6)
    assert page.run("document.querySelector('#truncation').value") == "0.6"


def test_playing_goes_along_the_arc_to_another_seed(page: Page, address: str) -> None:
    page.open(f"{address}#model=linear&seed=3&to=8&at=0.25")
    x, y = normals(3, stand_ins.LATENT_DIM), normals(8, stand_ins.LATENT_DIM)
    angle = math.acos(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
    way = math.sin(0.75 * angle) * x / np.linalg.norm(x) + math.sin(0.25 * angle) * y / np.linalg.norm(y)
    expected = way / math.sin(angle) * (0.75 * np.linalg.norm(x) + 0.25 * np.linalg.norm(y))
    np.testing.assert_allclose(page.run("jaxgen.latents()"), expected, atol=1e-5)

    seen = []
    page.click("#play")
    for _ in range(4):
        page.run("new Promise(done => setTimeout(done, 150))")
        seen.append(page.run("jaxgen.latents()"))
    page.click("#play")
    page.idle()
    steps = np.abs(np.diff(np.array(seen), axis=0)).max(axis=1)
    assert (steps > 0.01).all()  # it moves
    assert (steps < 1).all()  # and does not jump
    paused, link = picture(page), page.run("location.href")
    page.open(link)
    np.testing.assert_array_equal(picture(page), paused)


def test_with_reduced_motion_playing_stands_still_between_seeds(page: Page, address: str) -> None:
    page.media(prefers_reduced_motion="reduce")
    page.open(f"{address}#model=linear&seed=3")
    page.click("#play")
    page.run("new Promise(done => setTimeout(done, 500))")
    np.testing.assert_allclose(page.run("jaxgen.latents()"), normals(3, stand_ins.LATENT_DIM), atol=1e-6)
    page.click("#play")


def test_an_address_or_a_seed_that_makes_no_sense_is_no_error(page: Page, address: str) -> None:
    page.open(f"{address}#model=linear&seed=-5&class=cow&mix=x&move=99:1,a,1:1e9&to=&at=7")
    assert page.run("/seed=\\d+/.test(location.hash)")
    page.set("#seed", "1.5", "change")
    assert "whole number" in page.run("document.querySelector('#status').textContent")
    page.set("#seed", "12", "change")
    page.idle()
    np.testing.assert_allclose(page.run("jaxgen.latents()"), normals(12, stand_ins.LATENT_DIM), atol=1e-6)
    assert page.problems == []


def test_a_pause_while_a_picture_is_still_to_be_drawn_leaves_an_address(page: Page, address: str) -> None:
    page.open(f"{address}#model=linear&seed=3&to=8&at=0.25")
    page.click("#play")
    page.run("""{
      document.querySelector("#truncation").value = 0.75;
      document.querySelector("#truncation").dispatchEvent(new Event("input"));
      document.querySelector("#play").click();
    }""")
    page.idle()
    assert "truncation=0.75" in page.run("location.href")


def test_the_models_are_chosen_from_a_list(page: Page, address: str) -> None:
    page.open(address)
    assert page.run("[...document.querySelector('#model').options].map(o => o.value)") == [
        "linear",
        "mean",
        "linear-2",
        "fixed",
        "told",
        "no-holes",
        "seeing",
        "larger",
        "ball",
        "scan",
    ]
    page.set("#model", "mean", "change")
    page.wait("!document.querySelector('#photo').hidden")
    assert page.run("document.querySelector('#gan').hidden")
    assert page.run("document.title") == "Mean"
    page.set("#model", "linear-2", "change")
    page.wait("!document.querySelector('#gan').hidden")
    page.idle()
    assert page.run("location.hash").startswith("#model=linear-2&seed=")


def test_the_picture_is_saved_as_png_and_the_page_has_a_heading_and_licences(page: Page, address: str) -> None:
    page.open(f"{address}#model=linear&seed=5")
    page.run("""(click => {
      HTMLAnchorElement.prototype.click = function () { window.saved = this.download; };
      URL.createObjectURL = (blob) => ((window.blob = blob), "#");
    })()""")
    page.click("#save")
    page.idle()
    assert page.run("saved") == "linear-5.png"
    data = page.run("blob.arrayBuffer().then(b => Array.from(new Uint8Array(b)))")
    shown = np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB"))
    np.testing.assert_array_equal(shown, picture(page))
    assert page.run("document.querySelector('h1').innerText") == "Generate pictures"
    assert page.run("document.querySelector('h1').getBoundingClientRect().height") > 10
    footer = page.run("document.querySelector('footer').innerText")
    assert "Licence of the weights: " in footer
    assert "not stated" not in footer
    assert "onnxruntime-web, MIT" in footer
