"""Reading of files of one volume: NIfTI, TIFF stacks and NumPy arrays."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.errors import InputError, reject
from jaxgen.volumes.kinds import VOLUME_SUFFIXES, Affine, Volume, affine_of, needing, suffix_of

ACCEPTED = "a volume (d, h, w) of at least two voxels along each axis, in one channel"
MILLIMETRES = {"mm": 1.0, "cm": 10.0, "um": 1e-3, "µm": 1e-3, "micron": 1e-3, "microns": 1e-3, "nm": 1e-6, "m": 1e3}
"""Millimetres in the units of ImageJ."""


def read_volume(path: Path, time: int | None = None) -> Volume:
    """Returns the volume of a .nii, .nii.gz, .tif, .tiff, .npy or .npz file.

    The pages of a TIFF file are the slices; of ImageJ's files the spacing is known. An .npz archive holds one array of
    three axes, and perhaps its `affine`.

    Args:
      path: path of the file.
      time: number of the one time to read from a file of several, from 0.

    Raises:
      InputError: there is no such file, or it is damaged or holds no single volume of finite real numbers; one line
        that names it.
    """
    suffix = suffix_of(path, VOLUME_SUFFIXES)
    if suffix is None:
        reject("volume", str(path), f"a file that ends in {', '.join(VOLUME_SUFFIXES)}")
    if not path.is_file():
        reject("volume", str(path), "an existing file")
    with _in_one_line(path):
        if suffix in (".nii", ".nii.gz"):
            return _checked(path, *_read_nifti(path, time))
        array, affine = _read_tiff(path, time) if suffix in (".tif", ".tiff") else _read_numpy(path)
        return _checked(path, array, Volume(np.empty((0, 0, 0, 0), np.float32), affine, array.dtype))


def read_numbers(path: Path, time: int | None = None) -> np.ndarray:
    """Returns the numbers (d, h, w) of a file as they are stored, before a factor is applied; see `read_volume`."""
    with _in_one_line(path):
        if suffix_of(path, VOLUME_SUFFIXES) in (".nii", ".nii.gz"):
            import nibabel

            proxy: Any = nibabel.load(path).dataobj
            array = np.asarray(proxy.get_unscaled())
            return (array[..., time or 0] if array.ndim == 4 else array).T
        array, _ = _read_tiff(path, time) if path.suffix.lower() in (".tif", ".tiff") else _read_numpy(path)
        return array[..., 0] if array.ndim == 4 else array


@contextlib.contextmanager
def _in_one_line(path: Path) -> Iterator[None]:
    """Raises one `InputError` of one line for any exception of a decoder; damaged files raise almost any."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (InputError, MemoryError):
        raise
    except ImportError as error:
        raise needing(str(error.name), str(path)) from None
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(f"{path}: cannot be read ({reason})") from None


def _checked(path: Path, array: np.ndarray, volume: Volume) -> Volume:
    """Returns the volume with the values of an array (d, h, w) or (d, h, w, 1), if that is a volume."""
    if array.dtype.kind not in "biuf":
        raise InputError(f"{path}: has colours or numbers of type {array.dtype}; accepted: one real number a voxel")
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if (array.ndim == 4 and array.shape[-1] in (3, 4)) or _is_coloured(array.shape):
        raise InputError(f"{path}: has {array.shape[-1]} colours, of shape {array.shape}; accepted: {ACCEPTED}")
    if array.ndim == 2:
        raise InputError(f"{path}: is a picture of shape {array.shape}; accepted: {ACCEPTED}")
    if array.ndim != 3:
        raise InputError(f"{path}: is of shape {array.shape}; accepted: {ACCEPTED}")
    if min(array.shape) == 1:
        raise InputError(f"{path}: has one slice, of shape {array.shape}; accepted: {ACCEPTED}")
    if min(array.shape) == 0:
        raise InputError(f"{path}: is empty, of shape {array.shape}; accepted: {ACCEPTED}")
    values = np.array(array, np.float32, order="C")
    wrong = ~np.isfinite(values)
    if wrong.any():
        first = ", ".join(str(int(place)) for place in np.unravel_index(int(wrong.argmax()), wrong.shape))
        found = f"{int(wrong.sum())} values that are infinite or not a number, the first at ({first})"
        raise InputError(f"{path}: has {found} in (d, h, w); accepted: finite values")
    determinant = np.linalg.det(volume.affine[:3, :3]) if np.isfinite(volume.affine).all() else 0.0
    if not determinant:
        raise InputError(f"{path}: has an affine that cannot be inverted; accepted: a finite and regular one")
    return volume._replace(values=values[..., None])


def _is_coloured(shape: tuple[int, ...]) -> bool:
    """Returns whether a shape of three axes is rather that of a picture in colour."""
    return len(shape) == 3 and shape[-1] in (3, 4) and min(shape[:2]) > 8


def _read_nifti(path: Path, time: int | None) -> tuple[np.ndarray, Volume]:
    """Returns the array (d, h, w) of a NIfTI file, and its volume without values."""
    import nibabel

    image = nibabel.load(path)
    kind = image.get_data_dtype()
    if kind.fields or kind.kind not in "biuf":
        raise InputError(f"{path}: has colours or numbers of type {kind}; accepted: one real number a voxel")
    index = _one_time(path, image.shape[3] if len(image.shape) == 4 else 1, time)
    array = np.asarray(image.dataobj[..., index] if len(image.shape) == 4 else image.dataobj)
    affine = np.asarray(image.affine, np.float64)
    proxy: Any = image.dataobj
    return array.T, Volume(
        np.empty((0, 0, 0, 0), np.float32),
        affine,
        kind.newbyteorder("="),
        float(proxy.slope),
        float(proxy.inter),
        image.header.copy(),
    )


def _one_time(path: Path, num: int, time: int | None) -> int:
    """Returns the number of the time to read among `num`."""
    if time is None and num > 1:
        raise InputError(f"{path}: has 4 axes, {num} times; accepted: one volume, or one of the times by --time N")
    if time is not None and not 0 <= time < num:
        reject("time", time, f"0 to {num - 1} for {path}")
    return time or 0


def _read_tiff(path: Path, time: int | None) -> tuple[np.ndarray, Affine]:
    """Returns the pages (d, h, w) of a TIFF file and the affine."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        if len(file.series) > 1:
            raise InputError(f"{path}: has pages of several sizes or types; accepted: slices of one size")
        series = file.series[0]
        if "S" in series.axes:
            raise InputError(f"{path}: has colours (axes {series.axes}); accepted: {ACCEPTED}")
        array = series.asarray()
        if "T" in series.axes:
            place = series.axes.index("T")
            array = array.take(_one_time(path, array.shape[place], time), place)
        return array, _tiff_affine(file)


def _tiff_affine(file: Any) -> Affine:
    """Returns the affine of a file of ImageJ with a unit of length; of any other file the identity."""
    noted, tags = file.imagej_metadata or {}, file.pages[0].tags
    unit = MILLIMETRES.get(str(noted.get("unit", "")).replace("\\u00B5", "µ"))
    if unit is None or "XResolution" not in tags or "YResolution" not in tags:
        return np.eye(4)
    (a, b), (c, d) = tags["YResolution"].value, tags["XResolution"].value
    return affine_of((unit * float(noted.get("spacing", 1.0)), unit * b / a, unit * d / c))


def _read_numpy(path: Path) -> tuple[np.ndarray, Affine]:
    """Returns the array of an .npy file, or the one of an .npz archive with its `affine`."""
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded, np.eye(4)
    with loaded:
        names = [name for name in loaded.files if name != "affine"]
        if len(names) != 1:
            raise InputError(f"{path}: has the arrays {', '.join(names) or 'none'}; accepted: one, and its affine")
        array = loaded[names[0]]
        affine = loaded["affine"].astype(np.float64) if "affine" in loaded.files else np.eye(4)
    if affine.shape != (4, 4):
        raise InputError(f"{path}: has an affine of shape {affine.shape}; accepted: (4, 4)")
    return array, affine
