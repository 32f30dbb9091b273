"""A model loaded from a bundle, which generates, restores or enlarges images, or generates or restores volumes."""

import dataclasses
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.bundles.holes import fill_large_holes
from jaxgen.bundles.levels import estimate_levels, windows_of
from jaxgen.bundles.manifest import Manifest, read_manifest
from jaxgen.bundles.program import Apply, load_estimator, load_model
from jaxgen.bundles.tiling import restored_tiles
from jaxgen.bundles.volume_tiles import layout_of_volume
from jaxgen.errors import require
from jaxgen.images import to_uint8
from jaxgen.repairs import Repair, repair_levels

BUCKETS = (4, 16, 64)
"""Images per call; calls are padded to one of these sizes, so that only as many programs are compiled."""
TILE = 512
LUMA = np.asarray((0.299, 0.587, 0.114), np.float32)
"""Weights of red, green and blue in the luma of ITU-R 601."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A model of a bundle, opened by `load`.

    Attributes:
      manifest: its description.
      apply: the network, from the float32 arrays of `manifest.inputs` to that of `manifest.outputs`.
      estimate: the network that sees what is damaged, from windows of a picture to their levels; None: there is none.
    """

    manifest: Manifest
    apply: Apply
    estimate: Apply | None = None

    def sample(
        self,
        num: int,
        label: int | str | Sequence[int | str] | None = None,
        seed: int = 0,
        truncation: float = 1.0,
    ) -> np.ndarray:
        """Returns images of a GAN, those that `python -m jaxgen sample` draws from the run with this seed and label.

        Image i of a seed is the same whatever `num` is.

        Args:
          num: number of images, 1 or more.
          label: class of a conditional GAN by name or number, or several, repeated in order; None draws classes.
          seed: determines the latents and drawn classes, 0 to 2**32 - 1.
          truncation: factor of the latents, 0 to 1; a smaller one gives more typical images with less variety
            (Karras et al., 2019, in z), as `jaxgen sample --truncation` does.

        Returns:
          uint8 (num, h, w, c), of volumes (num, d, h, w, c).

        Raises:
          InputError: not a GAN, or an argument that is not accepted.
        """
        require(self.manifest.kind == "gan", "bundle", self.manifest.kind, "a bundle of a GAN")
        require(_is_whole(num) and num >= 1, "num", num, "a whole number, 1 or more")
        require(_is_whole(seed) and 0 <= seed < 2**32, "seed", seed, "a whole number, 0 to 4294967295")
        number = isinstance(truncation, int | float | np.number)
        require(number and 0 <= truncation <= 1, "truncation", truncation, "a number, 0 to 1")
        numbers = None if label is None else _class_numbers(label, self.manifest.labels)
        inputs = _draw(self.manifest, num, seed, numbers)
        inputs[0] = inputs[0] * np.float32(truncation)
        largest = BUCKETS[-1] if len(self.manifest.sizes) == 2 else BUCKETS[1]  # volumes take much memory
        parts = [_render(self.apply, [x[i : i + largest] for x in inputs]) for i in range(0, num, largest)]
        return np.concatenate(parts)

    def restore(self, image: np.ndarray, mask: np.ndarray | None = None, repair: Repair | None = None) -> np.ndarray:
        """Returns the restored image, as `python -m jaxgen restore` does with one model.

        A bundle with an estimator sees the levels of what it is asked to repair, and leaves the image as it is if it
        sees nothing of that; without one, the network finds all levels itself, less well.

        A colour model gets a grey image in all three channels, and the luma of its result is returned; a grey model
        restores each channel alone. A colour image whose channels are equal counts as grey. Large images are restored
        in tiles, with the same result.

        Volumes are (d, h, w) and (d, h, w, c) below, or several (n, d, h, w, c), which are restored one by one.

        Args:
          image: (h, w) or (h, w, c), c 1 or 3; uint8, uint16, or floats in [0, 1].
          mask: (h, w) or (h, w, 1), true where the image is to be filled in; all other pixels are then kept, unless
            `repair` asks for more.
          repair: of `manifest.repairs`: names joined by commas or a sequence of them, or "all"; or levels by name, -1
            for one that is to be found: of noise its standard deviation in [0, 1], of JPEG 1 - quality / 100. None:
            noise and JPEG if the model knows them, else all; with a mask nothing.

        Returns:
          An image of the shape and type of `image`; float32 for floats.

        Raises:
          InputError: not a restorer, or an argument that is not accepted.
        """
        require(self.manifest.kind == "restorer", "bundle", self.manifest.kind, "a bundle of a restorer")
        if np.ndim(image) == 5 and len(self.manifest.sizes) == 3 and len(image) > 0:
            masks = [None] * len(image) if mask is None else mask
            return np.stack([self.restore(one, seen, repair) for one, seen in zip(image, masks, strict=True)])
        pixels = _pixels(image, self.manifest)
        missing = None if mask is None else _missing(mask, pixels.shape[:-1], self.manifest.fills)
        told = bool(self.manifest.repairs) or repair is not None
        levels = repair_levels(repair, self.manifest.repairs) if told else None
        planes = pixels[..., :1] if (pixels == pixels[..., :1]).all() else pixels
        if missing is not None:
            unasked = None if levels is None else np.zeros_like(levels)
            started = fill_large_holes(planes, ~missing) if planes.ndim == 3 else (planes, ~missing)
            filled = self._restored(*started, unasked)
            planes = np.where(missing[..., None], filled, planes)
        if missing is None or repair is not None:
            if self.estimate is not None:
                levels = repair_levels(repair, self.manifest.repairs, self._seen(planes))
            if levels is None or levels.any():
                planes = self._restored(planes, None, levels)
        return _like(np.broadcast_to(planes, pixels.shape), np.asarray(image))

    def _seen(self, pixels: np.ndarray) -> dict[str, float]:
        """Returns the levels that are seen in pixels, float32 (h, w, c) in [-1, 1], by name."""
        estimator = self.manifest.estimator
        return estimate_levels(self.estimate, estimator.repairs, estimator.channels, windows_of(pixels))

    def upscale(self, image: np.ndarray) -> np.ndarray:
        """Returns the image enlarged by the factor of the bundle, `manifest.scale`; large ones in tiles.

        Args:
          image: (h, w) or (h, w, c), c 1 or 3; uint8, uint16, or floats in [0, 1]. A grey one is given in all three
            channels, and the luma of the result is returned.

        Returns:
          An image of the type of `image`, float32 for floats; (scale h, scale w) or (scale h, scale w, c).

        Raises:
          InputError: not an upscaler, or an image that is not accepted.
        """
        require(self.manifest.kind == "upscaler", "bundle", self.manifest.kind, "a bundle of an upscaler")
        pixels, scale = _pixels(image, self.manifest), self.manifest.scale
        grey = bool((pixels == pixels[..., :1]).all())
        planes = np.repeat(pixels[..., :1], 3, axis=-1) if grey else pixels
        height, width, channels = pixels.shape
        enlarged = np.empty((scale * height, scale * width, channels), np.float32)
        layout = {"tile": TILE, "halo": self.manifest.halo, "multiple": self.manifest.multiple}
        tiles = restored_tiles(lambda images, _: np.asarray(self.apply(images)), planes, None, scale, **layout)
        for place, values in tiles:
            values = np.clip(values, -1, 1)
            enlarged[place] = (values @ LUMA)[..., None] if grey else values
        image = np.asarray(image)
        return _like(enlarged, image, (*enlarged.shape[:2], *image.shape[2:]))

    def _restored(self, pixels: np.ndarray, known: np.ndarray | None, levels: np.ndarray | None) -> np.ndarray:
        """Returns the restored pixels; both are float32 (*spatial, c) in [-1, 1]."""
        model_channels, channels = self.manifest.image[-1], pixels.shape[-1]
        if model_channels == channels:
            return self._tiled(pixels, known, levels)
        if channels == 1:
            colour = self._tiled(np.repeat(pixels, 3, axis=-1), known, levels)
            return (colour @ LUMA)[..., None]
        return np.concatenate([self._tiled(pixels[..., i : i + 1], known, levels) for i in range(channels)], axis=-1)

    def _tiled(self, pixels: np.ndarray, known: np.ndarray | None, levels: np.ndarray | None) -> np.ndarray:
        told = () if levels is None else (levels[None],)

        def program(images: np.ndarray, known: np.ndarray) -> np.ndarray:
            return np.asarray(self.apply(images, 1 - known, *told))  # its second input marks the missing pixels

        if self.manifest.sizes[0] is not None:
            kept = np.ones(pixels.shape[:-1], np.float32) if known is None else known.astype(np.float32)
            return np.clip(program(pixels[None], kept[None, ..., None])[0], -1, 1)
        restored = np.empty_like(pixels)
        sizes, layout = pixels.shape[:-1], {"halo": self.manifest.halo, "multiple": self.manifest.multiple}
        layout = layout_of_volume(sizes, **layout) if len(sizes) == 3 else {**layout, "tile": TILE}
        for place, values in restored_tiles(program, pixels, known, **layout):
            restored[place] = np.clip(values, -1, 1)
        return restored


def load(folder: str | PathLike) -> Model:
    """Returns the model of a bundle that `python -m jaxgen export` wrote; needs no training code.

    Nothing in it is trusted: the manifest is checked, each file must have the declared size and hash, and the program
    must accept the weights and inputs that the manifest names and reproduce the golden outputs, those stored at export.
    Turns on JAX's compilation cache if the process has none, so that the next process starts sooner.

    Args:
      folder: folder of the bundle.

    Raises:
      InputError: the folder is not a bundle, or it is damaged.
    """
    manifest = read_manifest(Path(folder))
    return Model(manifest, load_model(Path(folder), manifest), load_estimator(Path(folder), manifest))


def _draw(manifest: Manifest, num: int, seed: int, labels: list[int] | None) -> list[np.ndarray]:
    """Draws latents and, for a conditional GAN, one-hot classes, like `jaxgen.tasks.gan.algorithm.draw_inputs`."""
    key_latents, key_labels = jax.random.split(jax.random.key(seed))
    padded = (
        -(-num // BUCKETS[-1]) * BUCKETS[-1]
    )  # row i does not depend on the number of rows, so one program serves all
    latents = np.array(jax.random.normal(key_latents, (padded, manifest.latent_dim), jnp.float32))[:num]
    if not manifest.labels:
        return [latents]
    classes = len(manifest.labels)
    drawn = np.asarray(jax.random.randint(key_labels, (padded,), 0, classes, jnp.int32)) if labels is None else labels
    return [latents, np.eye(classes, dtype=np.float32)[np.resize(drawn, num)]]


def _render(apply: Apply, inputs: list[np.ndarray]) -> np.ndarray:
    """Returns the uint8 images of inputs that fit into the largest bucket."""
    num = len(inputs[0])
    bucket = next(size for size in BUCKETS if size >= num)
    filled = [np.concatenate([x, np.zeros((bucket - num, *x.shape[1:]), np.float32)]) for x in inputs]
    return to_uint8(apply(*(jnp.asarray(x) for x in filled)))[:num]


def _class_numbers(label: int | str | Sequence[int | str], names: tuple[str, ...]) -> list[int]:
    """Returns the numbers of classes, given by name, or by number if no class has that name."""
    require(len(names) > 0, "label", label, "None, since this model knows no classes")
    asked = list(np.asarray(label, object).ravel())
    numbers = {str(i): i for i in range(len(names))} | {name: i for i, name in enumerate(names)}
    require(len(asked) > 0, "label", label, "one class or more")
    for one in asked:
        require(str(one) in numbers, "label", one, ", ".join(names))
    return [numbers[str(one)] for one in asked]


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _pixels(image: np.ndarray, manifest: Manifest) -> np.ndarray:
    """Returns the image as float32 (*spatial, c) in [-1, 1]; raises `InputError` unless the model accepts it."""
    image, (*sizes, channels) = np.asarray(image), manifest.image
    number = image.dtype in (np.uint8, np.uint16) or np.issubdtype(image.dtype, np.floating)
    rank = len(sizes)
    shaped = image.ndim == rank or (image.ndim == rank + 1 and image.shape[-1] in (1, 3))
    axes = "d, h, w" if rank == 3 else "h, w"
    accepted = f"uint8, uint16 or floats, of shape ({axes}), ({axes}, 1) or ({axes}, 3), not empty"
    require(number and shaped and image.size > 0, "image", _describe(image), accepted)
    fits = all(size in (None, found) for size, found in zip(sizes, image.shape, strict=False))
    unit = "pixels" if rank == 2 else "voxels"
    require(fits, "image", image.shape, f"{' x '.join(map(str, sizes))} {unit}")
    planes = image.reshape(*image.shape[:rank], -1)
    require(channels in (1, 3) or planes.shape[-1] == channels, "image", image.shape, f"{channels} channels")
    if np.issubdtype(image.dtype, np.floating):
        inside = bool(np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1)
        require(inside, "image", f"values from {image.min():g} to {image.max():g}", "floats in [0, 1]")
        return planes.astype(np.float32) * np.float32(2) - np.float32(1)
    return planes.astype(np.float32) / np.float32(np.iinfo(image.dtype).max / 2) - np.float32(1)


def _missing(mask: np.ndarray, sizes: tuple[int, ...], fills: bool) -> np.ndarray:
    """Returns the mask as bool (*spatial); raises `InputError` unless the model accepts it."""
    require(fills, "mask", "a mask", "no mask, as this model was not trained to fill in missing pixels")
    mask = np.asarray(mask)
    if mask.ndim == len(sizes) + 1 and mask.shape[-1] == 1:
        mask = mask[..., 0]
    require(mask.dtype == bool and mask.shape == sizes, "mask", _describe(mask), f"bool {list(sizes)}")
    return mask


def _like(result: np.ndarray, image: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Converts from [-1, 1] to the type of the image, and to a shape, by default its own."""
    result = (result.reshape(shape or image.shape) + np.float32(1)) / np.float32(2)
    if np.issubdtype(image.dtype, np.floating):
        return result
    largest = np.iinfo(image.dtype).max
    return np.clip(np.rint(result * np.float32(largest)), 0, largest).astype(image.dtype)


def _describe(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"
