"""Photos to read and write, for the tests of photo files."""

import numpy as np
from PIL import Image, ImageCms

from jaxgen.photos.reading import Photo

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LOSSLESS = ("png", "tif", "bmp")
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def profile_of(space: bytes) -> bytes:
    """A colour profile that says it is for this space: GRAY, RGB or CMYK, four bytes."""
    return ICC[:16] + space + ICC[20:]


def noise(*shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def smooth(channels: int, height: int = 24, width: int = 32) -> np.ndarray:
    """What lossy formats hold well: ramps, another direction in each channel."""
    y, x = np.mgrid[:height, :width]
    ramps = [4 * x + 2 * y, 200 - 3 * x, 90 + 3 * y - x, 255 - 7 * y]
    return np.stack(ramps[:channels], axis=-1).clip(0, 255).astype(np.uint8)


def photo_of(array: np.ndarray, **extra) -> Photo:
    """(h, w, 1 to 4) to a photo."""
    channels = 1 if array.shape[-1] < 3 else 3
    alpha = array[..., channels] if array.shape[-1] > channels else None
    return Photo(array[..., :channels], alpha, **extra)


def joined(photo: Photo) -> np.ndarray:
    alpha = [] if photo.alpha is None else [photo.alpha[..., None]]
    return np.concatenate([photo.pixels, *alpha], axis=-1)


def squeezed(array: np.ndarray) -> np.ndarray:
    return array[..., 0] if array.shape[-1] == 1 else array


def exif_of(orientation: int | None = None) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x8769] = {0x9003: "2024:05:06 07:08:09", 0x927C: b"private notes"}
    exif[0x8825] = {1: "N", 2: (51.0, 30.0, 0.0)}
    if orientation is not None:
        exif[0x0112] = orientation
    return exif


def assert_exif(exif: Image.Exif) -> None:
    assert exif[0x010F] == "Maker"
    assert exif.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
    assert exif.get_ifd(0x8769)[0x927C] == b"private notes"
    assert exif.get_ifd(0x8825)[1] == "N"
    assert [float(x) for x in exif.get_ifd(0x8825)[2]] == [51.0, 30.0, 0.0]
    assert exif.get(0x0112, 1) == 1
