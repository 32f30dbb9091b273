"""Writing of volumes: the one place that decides by the suffix, for volumes and for meshes of their surfaces."""

import gzip
import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.errors import InputError, reject, require
from jaxgen.files import printable, write_bytes
from jaxgen.volumes.kinds import Volume, needing, spacing, suffix_of
from jaxgen.volumes.levels import to_shares, window_of
from jaxgen.volumes.surface import Surface, beside, glb_bytes, ply_bytes, stl_bytes, surface_of

LOGGER = logging.getLogger("jaxgen")
Stated = tuple[float, float] | None


def write_volume(path: Path, volume: Volume, window: Stated = None) -> None:
    """Writes one volume as `write_volumes` does."""
    write_volumes(path, [volume], window)


def write_volumes(path: Path, volumes: Sequence[Volume], window: Stated = None) -> None:
    """Writes volumes of one shape to one file, in the format of the suffix of `path`, whole or not at all.

    NIfTI keeps affine, type and header, and holds several volumes as times; so does TIFF, with the spacing but not the
    place (deflate; as ImageJ has it, where it knows the type). NumPy's files have an axis in front for several volumes,
    and an archive has `volumes` and `affine`. A mesh is the surface at the middle of the window, of several volumes
    beside each other without those that are empty.

    Args:
      path: ends in one of `ENCODERS`, in upper or lower case.
      volumes: one or more; the first one says affine, type and header.
      window: values between which the surface lies; None for those of `window_of`.

    Raises:
      InputError: the suffix is another one, a package is missing, a mesh would be empty, or there are colours.
      OSError: the file cannot be written.
    """
    encode, channels = encoder(path), volumes[0].values.shape[-1]
    require(channels == 1, "out", f"{path} for volumes of {channels} channels", "one channel")
    try:
        data = encode(path, volumes, window)
    except ImportError as error:
        raise needing(str(error.name), str(path)) from None
    write_bytes(path, data)


def encoder(path: str | Path) -> Callable[[Path, Sequence[Volume], Stated], bytes]:
    """Returns the function (path, volumes, window) -> bytes for the suffix of a path; the path is for its messages.

    Raises:
      InputError: there is no format of this suffix.
    """
    suffix = suffix_of(path)
    if suffix is None:
        reject("out", str(path), f"a name that ends in {', '.join(ENCODERS)}")
    return ENCODERS[suffix]


def stored_values(volume: Volume) -> np.ndarray:
    """Returns the numbers (d, h, w) that a file of the volume's type holds, rounded and cut to it."""
    if volume.numbers is not None:
        return volume.numbers.astype(volume.dtype)
    numbers = (volume.values[..., 0].astype(np.float64) - volume.intercept) / volume.slope
    if volume.dtype.kind == "b":
        return numbers > 0.5
    if volume.dtype.kind in "iu":
        limits = np.iinfo(volume.dtype)
        numbers = np.clip(np.rint(numbers), limits.min, limits.max)
    return numbers.astype(volume.dtype)


def _stacked(volumes: Sequence[Volume]) -> np.ndarray:
    """Returns the numbers of one volume, or those of several with an axis in front."""
    numbers = [stored_values(volume) for volume in volumes]
    return np.stack(numbers) if len(numbers) > 1 else numbers[0]


def _unscaled(volumes: Sequence[Volume]) -> list[Volume]:
    """Returns volumes whose numbers are their values: as floats, if the file of origin had a factor."""
    plain = volumes[0].slope == 1 and volumes[0].intercept == 0
    kind = volumes[0].dtype if plain else np.dtype(np.float32)
    return [volume._replace(dtype=kind, slope=1.0, intercept=0.0) for volume in volumes]


def _nifti(path: Path, volumes: Sequence[Volume], window: Stated) -> bytes:
    import nibabel

    first = volumes[0]
    kinds = {"b1": "u1", "f2": "f4"}  # types that NIfTI does not have
    kind = np.dtype(kinds.get(first.dtype.str[1:], first.dtype))
    array = _stacked([volume._replace(dtype=kind) for volume in volumes])
    array = array.T if len(volumes) == 1 else np.moveaxis(array, 0, -1).transpose(2, 1, 0, 3)
    header = None if first.header is None else first.header.copy()
    image_type = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    image = image_type(array, first.affine, header, dtype=kind)
    if header is None:
        image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(first.slope, first.intercept)
    return image.to_bytes()


def _nifti_gz(path: Path, volumes: Sequence[Volume], window: Stated) -> bytes:
    return gzip.compress(_nifti(path, volumes, window), 6, mtime=0)


def _tiff(path: Path, volumes: Sequence[Volume], window: Stated) -> bytes:
    import tifffile

    array = _stacked(_unscaled(volumes))
    array = array.astype(np.uint8) * np.uint8(255) if array.dtype == bool else array
    d, h, w = spacing(volumes[0].affine)
    options: dict[str, Any] = {"compression": "zlib", "photometric": "minisblack"}
    axes = "TZYX"[4 - array.ndim :]
    if array.dtype in (np.uint8, np.uint16, np.float32):
        options |= {"imagej": True, "resolution": (1 / w, 1 / h)}
        options["metadata"] = {"axes": axes, "spacing": d, "unit": "mm"}
    else:
        options["metadata"] = {"axes": axes}
        if (d, h, w) != (1.0, 1.0, 1.0):
            LOGGER.warning("%s: numbers of type %s leave no place for the spacing", printable(path), array.dtype)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def _npy(path: Path, volumes: Sequence[Volume], window: Stated) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, _stacked(_unscaled(volumes)), allow_pickle=False)
    return buffer.getvalue()


def _npz(path: Path, volumes: Sequence[Volume], window: Stated) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, volumes=_stacked(_unscaled(volumes)), affine=volumes[0].affine)
    return buffer.getvalue()


def _surface(path: Path, volumes: Sequence[Volume], window: Stated) -> Surface:
    """Returns the surfaces of the volumes beside each other; warns of the empty ones.

    Raises:
      InputError: all are empty.
    """
    surfaces, empty = [], []
    for i, volume in enumerate(volumes):
        shares = to_shares(volume.values[..., 0], window_of(volume, window))
        try:
            surfaces.append(surface_of(shares, volume.affine, str(path)))
        except InputError as error:
            empty.append(i)
            if len(empty) == len(volumes):
                raise error
    if empty:
        LOGGER.warning("%s: of %d volumes %d are empty and left out", printable(path), len(volumes), len(empty))
    return beside(surfaces)


def _stl(path: Path, volumes: Sequence[Volume], window: Stated) -> bytes:
    return stl_bytes(_surface(path, volumes, window))


def _ply(path: Path, volumes: Sequence[Volume], window: Stated) -> bytes:
    return ply_bytes(_surface(path, volumes, window))


def _glb(path: Path, volumes: Sequence[Volume], window: Stated) -> bytes:
    return glb_bytes(_surface(path, volumes, window), "-y" if volumes[0].header is None else "z")


ENCODERS: dict[str, Callable[[Path, Sequence[Volume], Stated], bytes]] = {
    ".nii.gz": _nifti_gz,
    ".nii": _nifti,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".npy": _npy,
    ".npz": _npz,
    ".stl": _stl,
    ".glb": _glb,
    ".ply": _ply,
}
"""The functions that make a file, by its suffix."""
