"""JPEG against Pillow's: the same damage, not only as much of it."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen.degradations import jpeg as module
from jaxgen.degradations.jpeg import CHROMA_TABLE, LUMA_TABLE, jpeg
from jaxgen.errors import InputError

QUALITIES = (10, 50, 90)
compress = jax.jit(jpeg)


def picture(h: int, w: int, c: int) -> np.ndarray:
    """Smooth waves, an edge and a little texture in colours that differ; uint8 (h, w, c)."""
    y, x = np.mgrid[:h, :w]
    waves = [np.sin(x / (5 + 2 * i) + i) + np.cos(y / (7 - i)) + 0.8 * (x + y > h) for i in range(c)]
    texture = 0.1 * np.random.default_rng(0).standard_normal((h, w, 1))
    return np.clip(110 + 40 * (np.stack(waves, -1) + texture), 0, 255).astype(np.uint8)


def by_pillow(image: np.ndarray, quality: int, **options: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(file, "JPEG", quality=quality, **options)
    return np.asarray(Image.open(file), np.float64).reshape(image.shape)


def by_jaxgen(image: np.ndarray, qualities: tuple[int, ...]) -> np.ndarray:
    """The image at each quality, in [0, 255]."""
    images = jnp.broadcast_to(jnp.asarray(image / 127.5 - 1, jnp.float32)[None], (len(qualities), *image.shape))
    return (np.asarray(compress(images, jnp.array(qualities, jnp.float32)), np.float64) + 1) * 127.5


def away(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())


@pytest.mark.parametrize(("c", "off", "alike"), [(1, 0.5, 0.96), (3, 1.25, 0.93)])
@pytest.mark.parametrize(("h", "w"), [(96, 80), (43, 53)])
def test_the_error_is_that_of_pillow(h: int, w: int, c: int, off: float, alike: float) -> None:
    """In units of 1/255, of errors of 2.4 to 9. What is left are coefficients so near the middle of two steps that
    integer arithmetic rounds them to the other side; one of them changes a block."""
    image = picture(h, w, c)
    for quality, found in zip(QUALITIES, by_jaxgen(image, QUALITIES), strict=True):
        expected = by_pillow(image, quality)
        np.testing.assert_allclose(found, np.rint(found), atol=1e-3)
        if c == 3:  # nor is it what JPEG does with colour at the full resolution
            assert away(found, expected) < 0.5 * away(found, by_pillow(image, quality, subsampling=0))
        assert away(found, expected) < off
        assert np.corrcoef((found - image).ravel(), (expected - image).ravel())[0, 1] > alike


def test_tables_are_those_that_pillow_writes() -> None:
    for quality in (1, 10, 33, 50, 75, 95, 100):
        file = io.BytesIO()
        Image.fromarray(picture(16, 16, 3)).save(file, "JPEG", quality=quality)
        written = Image.open(file).quantization
        scale = np.asarray(module._scale(jnp.array([quality], jnp.float32)))[0]
        for i, table in enumerate((LUMA_TABLE, CHROMA_TABLE)):
            found = np.clip(np.floor((np.array(table) * scale + 50) / 100), 1, 255)
            np.testing.assert_array_equal(found.ravel(), written[i])


def test_scales_of_the_tables_are_those_of_libjpeg_also_when_compiled() -> None:
    """Its integer arithmetic: 5000 // q below 50, else 200 - 2 q; 4 gives 1250."""
    qualities = np.arange(1, 101)
    expected = np.where(qualities < 50, 5000 // qualities, 200 - 2 * qualities)
    for scale in (module._scale, jax.jit(module._scale), jax.jit(jax.vmap(lambda q: module._scale(q[None])[0]))):
        np.testing.assert_array_equal(scale(jnp.asarray(qualities, jnp.float32)), expected)
    between = jax.jit(module._scale)(jnp.array([4.4, 9.6, 49.6]))  # libjpeg takes whole qualities
    np.testing.assert_array_equal(between, [1250, 500, 100])


def test_flat_images_stay_if_their_grey_is_a_step() -> None:
    levels = jnp.array([0.0, 90.0, 154.0, 254.0])
    images = jnp.broadcast_to(levels[:, None, None, None], (4, 9, 17, 3)) / 127.5 - 1.0
    found = np.asarray(compress(images, jnp.full((4,), 100.0)))
    np.testing.assert_allclose(found, images, atol=1e-5)  # the step is an eighth of a grey level
    coarse = (np.asarray(compress(images, jnp.full((4,), 50.0))) + 1) * 127.5
    # a step of 16 is two grey levels, about 128
    np.testing.assert_allclose(
        coarse, np.broadcast_to([[[[0.0]]], [[[90.0]]], [[[154.0]]], [[[254.0]]]], coarse.shape), atol=1e-3
    )


def test_values_and_qualities_beyond_their_range_are_clipped() -> None:
    images = 3.0 * jnp.asarray(picture(16, 16, 3) / 127.5 - 1, jnp.float32)[None]
    found = compress(images, jnp.array([40.0]))
    assert np.abs(np.asarray(found)).max() <= 1
    np.testing.assert_array_equal(found, compress(jnp.clip(images, -1, 1), jnp.array([40.0])))
    for wrong, right in ((0.0, 1.0), (-7.0, 1.0), (130.0, 100.0)):
        np.testing.assert_array_equal(compress(images, jnp.array([wrong])), compress(images, jnp.array([right])))


def test_the_derivative_is_that_of_jpeg_without_rounding() -> None:
    """Grey: the transform there and back is the identity; colour: luma passes, detail of the colours is averaged."""
    weights = jnp.asarray(np.random.default_rng(0).standard_normal((1, 16, 16, 1)), jnp.float32)

    @jax.jit
    def slope(images: jax.Array) -> jax.Array:
        return jax.grad(lambda x: jnp.sum(weights * jpeg(x, jnp.array([20.0]))))(images)

    grey, colour = (jnp.asarray(picture(16, 16, c) / 255 - 0.5, jnp.float32)[None] for c in (1, 3))
    np.testing.assert_allclose(slope(grey), weights, atol=1e-5)
    slopes = np.asarray(slope(colour))
    assert (np.abs(slopes).mean((0, 1, 2)) > 0.01).all()
    np.testing.assert_allclose(slopes.sum(3, keepdims=True), 3 * weights, atol=1e-4)  # a grey change passes as it is


def test_two_channels_are_refused() -> None:
    with pytest.raises(InputError, match="channels: got 2; accepted: 1 or 3"):
        jpeg(jnp.zeros((1, 8, 8, 2)), jnp.ones(1))
