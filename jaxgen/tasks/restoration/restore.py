"""Photos in, restored photos out: the work behind `python -m jaxgen restore`."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.bundles.tiling import ApplyFn, Mask, Pixels, restore_tiled
from jaxgen.errors import InputError, require
from jaxgen.files import printable
from jaxgen.photos.files import Job, find_photos, output_paths, results
from jaxgen.photos.reading import Photo, photo_size, read_photo
from jaxgen.photos.writing import encoder, to_8_bits, write_photo
from jaxgen.progress import PhotoProgress, open_photo_progress

LUMA = (0.299, 0.587, 0.114)
"""Weights of ITU-R 601, as everywhere in jaxgen where colour becomes grey."""


class PhotoModel(NamedTuple):
    """A restoration network that works on any size.

    Attributes:
      apply: (images float32 (1, h, w, channels) in [-1, 1], masks float32 (1, h, w, 1)) -> restored, like images; may
        be called under `jit`. Masks are 1 where a pixel is missing, 0 elsewhere and where nothing is known.
      channels: 1 or 3.
      halo: an output pixel depends on none farther away than this, in pixels.
      multiple: of its coarsest grid, in pixels: 1 without downsampling.
      takes_mask: whether it looks at masks.
      name: for messages.
    """

    apply: Callable[[Any, Any], Any]
    channels: int
    halo: int
    multiple: int
    takes_mask: bool
    name: str


class RestoreOptions(NamedTuple):
    """What the user may choose.

    Attributes:
      mask: file of the photo's size, white where it is to be restored; all else is kept as it is. None: everywhere.
      strength: 0 gives the photo back, 1 what the network says, between is between.
      compare: also write NAME-compare.png, photo and restored side by side.
      force: overwrite results that exist.
      allow_large: also photos above the limit on pixels.
      tile: pixels of a tile's edge, about; more is faster up to a point and takes more memory.
    """

    mask: Path | None = None
    strength: float = 1.0
    compare: bool = False
    force: bool = False
    allow_large: bool = False
    tile: int = 512


DEFAULTS = RestoreOptions()


def restore_photos(
    arguments: Sequence[str], out: Path, models: Mapping[int, PhotoModel], options: RestoreOptions = DEFAULTS
) -> int:
    """Restores photos into a folder, keeping the structure below a folder that was named, and shows progress.

    Format, depth, alpha, colour profile and EXIF of a photo are kept. A photo that cannot be read is named on stderr
    and left out. Each file is written whole or not at all.

    Args:
      arguments: see `find_photos`.
      out: folder for the results; made where it lacks.
      models: what restores photos of 1 and of 3 channels.
      options: of the user.

    Returns:
      Exit code: 0, or 1 if a photo was left out.

    Raises:
      InputError: bad arguments or options; nothing has been done then.
      OSError: a result cannot be written.
    """
    _check(models, options)
    jobs = output_paths(find_photos(arguments, out), out, options.compare)
    _refuse_existing(jobs, options.force)
    mask = None if options.mask is None else read_mask(options.mask, [job.photo for job in jobs], options.allow_large)
    restore_pixels = make_restore(models, options.strength, mask is not None, options.tile)

    def restore(photo: Photo, watch: Callable[[int, int], None]) -> Photo:
        if options.strength == 0:
            return photo
        return photo._replace(pixels=restore_pixels(photo.pixels, mask, watch))

    return _run(jobs, restore, options.allow_large)


def read_mask(path: Path, photos: Sequence[Path], allow_large: bool = False) -> np.ndarray:
    """bool (h, w): true where a mask file is white, or light grey at least.

    Raises:
      InputError: it cannot be read, or a readable one of the photos has another size.
    """
    mask = read_photo(path, allow_large).pixels
    for photo in photos:
        try:
            size = photo_size(photo)
        except InputError:
            continue  # it is named when its turn comes
        if size != mask.shape[:2]:
            sizes = [f"{width} x {height}" for height, width in (mask.shape[:2], size)]
            raise InputError(f"mask: {path} has {sizes[0]} pixels; accepted: {sizes[1]}, as {photo} has")
    return to_8_bits(mask).max(axis=-1) >= 128


def make_restore(
    models: Mapping[int, PhotoModel], strength: float, masked: bool, tile: int
) -> Callable[..., np.ndarray]:
    """A function that restores pixels of any size: restore(pixels, mask, watch=None) as of `restore_tiled`.

    Colour pixels whose channels are all alike are those of a grey photo, and are restored as such.

    Args:
      models: for 1 and 3 channels.
      strength: see `adapt`, with masked.
      masked: see there.
      tile: pixels of a tile's edge, about.
    """
    apply_fns = {channels: adapt(model, channels, strength, masked) for channels, model in models.items()}

    def restore(pixels: Pixels, mask: Mask | None, watch: Callable[[int, int], None] = lambda *_: None) -> Pixels:
        grey = all(np.array_equal(pixels[..., 0], pixels[..., i]) for i in range(1, pixels.shape[-1]))
        planes = pixels[..., :1] if grey else pixels
        channels = planes.shape[-1]
        layout = {"tile": tile, "halo": models[channels].halo, "multiple": models[channels].multiple}
        restored = restore_tiled(apply_fns[channels], planes, mask, watch=watch, **layout)
        return restored if restored.shape == pixels.shape else np.repeat(restored, pixels.shape[-1], axis=-1)

    return restore


def adapt(model: PhotoModel, channels: int, strength: float, masked: bool) -> ApplyFn:
    """The model for photos of some number of channels, blended with its input, compiled.

    A model for colour sees grey in all three channels and the luma of its output is taken; a model for grey sees each
    channel of colour alone.

    Args:
      model: for 1 or 3 channels.
      channels: of the photos, 1 or 3.
      strength: weight of the restored image; that of the input is 1 - strength.
      masked: only pixels with mask 1 change.
    """

    def restored(images: jax.Array, masks: jax.Array) -> jax.Array:
        seen = masks if model.takes_mask else jnp.zeros_like(masks)
        clean = jnp.clip(_apply(model, images, seen), -1.0, 1.0)
        blended = images + strength * (clean - images)
        return jnp.where(masks > 0, blended, images) if masked else blended

    def _apply(model: PhotoModel, images: jax.Array, masks: jax.Array) -> jax.Array:
        if model.channels == channels:
            return model.apply(images, masks)
        if channels == 1:
            colour = model.apply(jnp.repeat(images, 3, axis=-1), masks)
            return jnp.sum(colour * jnp.asarray(LUMA).reshape(1, 1, 1, 3), axis=-1, keepdims=True)
        planes = jnp.moveaxis(images, -1, 0)[..., None]
        return jnp.moveaxis(jax.lax.map(lambda plane: model.apply(plane, masks), planes)[..., 0], 0, -1)

    return jax.jit(restored)


def _check(models: Mapping[int, PhotoModel], options: RestoreOptions) -> None:
    for model in models.values():
        require(model.channels in (1, 3), "channels", model.channels, "1 or 3")
    require(0 <= options.strength <= 1, "strength", options.strength, "0 to 1")
    require(options.tile >= 1, "tile", options.tile, "1 or more")


def _refuse_existing(jobs: list[Job], force: bool) -> None:
    existing = [path for path, _ in results(jobs) if path.exists()]
    if existing and not force:
        more = f" and {len(existing) - 1} more exist" if existing[1:] else " exists"
        raise InputError(f"out: {existing[0]}{more} already; overwritten only with --force")


def _run(jobs: list[Job], restore: Callable[..., Photo], allow_large: bool) -> int:
    """All photos in turn; the exit code."""
    failed = 0
    with open_photo_progress(len(jobs)) as show:
        for job in jobs:
            try:
                _restore_file(job, restore, allow_large, show)
            except InputError as error:
                failed += 1
                show.failed(printable(error))
    if failed:
        print(f"{failed} of {len(jobs)} photos could not be restored", file=sys.stderr)
    return 1 if failed else 0


def _restore_file(job: Job, restore: Callable[..., Photo], allow_large: bool, show: PhotoProgress) -> None:
    """Reads, restores and writes one photo."""
    began = time.monotonic()
    encoder(job.restored)  # before the work: there may be no way to write it
    photo = read_photo(job.photo, allow_large)
    try:
        restored = restore(photo, show.watch)
    except FloatingPointError as error:
        raise InputError(f"{job.photo}: {error}") from None
    write_photo(job.restored, restored)
    if job.compare is not None:
        write_photo(job.compare, side_by_side(photo, restored))
    height, width = photo.pixels.shape[:2]
    size = f"{width} x {height}, {time.monotonic() - began:.1f} s"
    show.done(printable(f"{job.photo} -> {job.restored} ({size})"))


def side_by_side(photo: Photo, restored: Photo) -> Photo:
    """The photo on the left, the restored one on the right, of 8 bits."""
    pixels = np.concatenate([to_8_bits(photo.pixels), to_8_bits(restored.pixels)], axis=1)
    alpha = None
    if photo.alpha is not None and restored.alpha is not None:
        alpha = np.concatenate([to_8_bits(photo.alpha), to_8_bits(restored.alpha)], axis=1)
    return Photo(pixels, alpha, photo.icc_profile)
