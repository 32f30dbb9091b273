"""Sixty files that are no sound images: each is named in one line, the others are restored or trained on."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxgen.data.config import DataConfig
from jaxgen.data.sources import open_source
from jaxgen.tasks.restoration.pixels import Models
from jaxgen.tasks.restoration.restore import restore_photos
from tests.stand_ins import restorer_of

STUB = restorer_of(lambda images, known: -images, 3, 0, 1, "stub")
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def encoded(form: str, pixels: np.ndarray = PIXELS, **extra: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **extra)
    return buffer.getvalue()


def tiff(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels)
    return buffer.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 8, colour: int = 2, lace: int = 0) -> bytes:
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, lace))
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in (header, *chunks)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def flipped(content: bytes, share: float) -> bytes:
    at = int(share * len(content))
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def animated(form: str) -> bytes:
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    buffer = io.BytesIO()
    frames[0].save(buffer, form, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


FLOATS = np.full((16, 16), np.nan, np.float32)
IDAT = zlib.compress(b"\0" * 49 * 16)
SUFFIXES = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "TIFF": "tif", "BMP": "bmp"}
FILES: dict[str, bytes] = {
    **{
        f"cut{percent}.{suffix}": encoded(form)[: len(encoded(form)) * percent // 100]
        for form, suffix in SUFFIXES.items()
        for percent in (1, 10, 40, 70, 95)
    },
    **{f"zero.{suffix}": b"" for suffix in SUFFIXES.values()},
    **{f"zeros.{suffix}": bytes(500) for suffix in SUFFIXES.values()},
    **{f"text.{suffix}": b"no image at all\n" * 9 for suffix in SUFFIXES.values()},
    "jpeg-named.png": encoded("JPEG"),
    "png-named.jpg": encoded("PNG"),
    "gif-named.png": animated("GIF"),
    "animated.webp": animated("WEBP"),
    "huge.png": png(100_000, 100_000, (b"IDAT", IDAT), (b"IEND", b"")),
    "huge.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 154, 0, 0, 54, 40, 90_000, 90_000, 1, 24, 0, 100, 0, 0, 0, 0),
    "nothing.png": png(0, 0, (b"IDAT", IDAT), (b"IEND", b"")),
    "negative.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 154, 0, 0, 54, 40, -9, 9, 1, 24, 0, 100, 0, 0, 0, 0),
    "depth.png": png(16, 16, (b"IDAT", IDAT), (b"IEND", b""), depth=7),
    "colour.png": png(16, 16, (b"IDAT", IDAT), (b"IEND", b""), colour=5),
    "crc.png": flipped(encoded("PNG"), 0.5),
    "interlaced.png": flipped(png(16, 16, (b"IDAT", IDAT), (b"IEND", b""), lace=1), 0.8),
    "deep.png": png(16, 16, (b"IDAT", IDAT[:9]), (b"IEND", b""), depth=16),
    "nan.tif": tiff(FLOATS),
    "inf.tif": tiff(np.full((16, 16, 3), np.inf, np.float32)),
    "double.tif": tiff(np.zeros((16, 16), np.float64)),
    "complex.tif": tiff(np.zeros((16, 16), np.complex64)),
    "cut16.tif": tiff(np.zeros((16, 16, 3), np.uint16))[:200],
    "exif.jpg": encoded("JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xff" * 40),
    "icc.jpg": encoded("JPEG", icc_profile=b"no profile" * 20),
    "icc.png": encoded("PNG", icc_profile=b"no profile" * 20),
    "loop.tif": b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 256, 3, 1, 16) + struct.pack("<I", 8),
}
NAMES = [b"new\nline.png", b"\xff\xfe.png", b"tab\there.jpg", b"esc\x1b[31m.png", b"-dash.png", b" .png", b"%s{}.png"]
"""Names of sound images but for their names; one of a damaged one is added."""


def cmyk() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert("CMYK").save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, content in {**FILES, "cmyk.jpg": cmyk()}.items():
        (folder / name).write_bytes(content)
    for name in NAMES:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(encoded("PNG"))
    with open(os.path.join(os.fsencode(folder), b"bad\n\xff.png"), "wb") as file:
        file.write(b"damaged")
    (folder / "folder.png").mkdir()
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "around").symlink_to(".")
    return folder


def test_restore_names_the_bad_and_goes_on(folder: Path, tmp_path: Path, capfd, caplog) -> None:
    assert len(FILES) + len(NAMES) + 6 >= 60
    code = restore_photos([str(folder)], tmp_path / "out", Models({1: STUB, 3: STUB}))
    said = capfd.readouterr().err
    assert code == 1
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.strip()]
    made = {os.fsencode(path.name) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {name.replace(b"here.jpg", b"here.png") for name in NAMES} <= made  # which is a PNG file
    assert {b"jpeg-named.jpg", b"png-named.png", b"cmyk.jpg", b"icc.jpg"} <= made
    bad = [name for name in FILES if name.encode() not in made and "-named" not in name]
    assert "animated.webp" in bad
    assert len(bad) > 35
    for name in [*bad, "loop.png", "dangling.png"]:
        assert sum(f"/{name}" in line for line in lines) == 1, name
    assert not [name for name in made if name.startswith(b".") or name.endswith(b".part")]


def test_a_data_set_names_the_bad_and_goes_on(folder: Path, caplog) -> None:
    for i in range(700):  # at most a tenth may be bad
        (folder / f"sound{i:03}.png").write_bytes(encoded("PNG"))
    source = open_source(DataConfig(dataset=f"folder:{folder}"))
    lines = [record.getMessage() for record in caplog.records if record.name == "jaxgen"]
    assert source.num_images >= 700 + len(NAMES)
    assert source.skipped == len(lines) > 35
    assert all("\n" not in line and "\x1b" not in line for line in lines)
    for name in ("zero.png", "huge.png", "loop.png", "dangling.png", "text.jpg", "cut10.webp"):
        assert sum(f"/{name}" in line for line in lines) == 1, name
