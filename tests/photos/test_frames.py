"""Files of several pictures: pages, animations, and what phones append."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxgen.errors import InputError
from jaxgen.photos.reading import photo_size, read_pages, read_photo
from jaxgen.photos.writing import write_pages, write_photo
from tests.photos.photo_samples import exif_of, joined, noise, photo_of, profile_of, smooth


def frames_of(num: int = 3) -> list[Image.Image]:
    return [Image.fromarray(noise(8, 9, 3, seed=seed)) for seed in range(num)]


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_all_pages_of_a_tiff_are_read(tmp_path: Path, dtype: type, options: dict) -> None:
    array = noise(3, 8, 9, 3, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", **options)
    pages = read_pages(tmp_path / "a.tif")
    np.testing.assert_array_equal([page.pixels for page in pages], array)
    with pytest.raises(InputError, match=r"a\.tif: has 3 pages; accepted: one picture"):
        read_photo(tmp_path / "a.tif")
    assert photo_size(tmp_path / "a.tif") == (8, 9)


def test_pages_of_different_kinds_are_written_with_all_they_have(tmp_path: Path) -> None:
    arrays = [noise(700, 601, 4, dtype=np.uint16), noise(5, 7, 1), noise(3, 3, 3)]
    profiles = [profile_of(b"RGB "), profile_of(b"GRAY"), None]
    pages = [photo_of(a, icc_profile=p, exif=exif_of().tobytes()) for a, p in zip(arrays, profiles, strict=True)]
    write_pages(tmp_path / "a.tif", pages)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert len(file.pages) == 3
        for page, array, profile in zip(file.pages, arrays, profiles, strict=True):
            np.testing.assert_array_equal(page.asarray(), array[..., 0] if array.shape[-1] == 1 else array)
            assert (page.iccprofile, page.tags[0x010F].value) == (profile, "Maker")
            assert page.tags[0x8769].value["DateTimeOriginal"] == "2024:05:06 07:08:09"
    for page, array in zip(read_pages(tmp_path / "a.tif"), arrays, strict=True):
        np.testing.assert_array_equal(joined(page), array)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_animations_are_refused_with_their_frames(tmp_path: Path, suffix: str) -> None:
    first, *others = frames_of()
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=others)
    with pytest.raises(InputError, match=rf"a\.{suffix}: is an animation of 3 frames; accepted: still pictures"):
        read_photo(tmp_path / f"a.{suffix}")


def test_of_a_phones_pictures_the_first_is_the_photo_and_a_line_says_so(tmp_path: Path, caplog) -> None:
    frames = [Image.fromarray(smooth(3)), Image.fromarray(smooth(3)[::-1])]
    frames[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=frames[1:])
    assert np.abs(read_photo(tmp_path / "a.jpg").pixels.astype(int) - smooth(3)).mean() < 6
    assert "a.jpg: of its 2 pictures the first is the photo; others are left out" in caplog.text


def test_smaller_copies_among_the_pages_are_left_out_with_a_line(tmp_path: Path, caplog) -> None:
    array = noise(8, 9, 3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(array, photometric="rgb")
        file.write(array[::2, ::2], photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, array)
    assert "a.tif: 1 smaller copies or masks among its pages are left out" in caplog.text


def test_pages_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.tif", photo_of(noise(4, 4, 3)))
    data = bytearray((tmp_path / "a.tif").read_bytes())
    first = int.from_bytes(data[4:8], "little")
    end = first + 2 + 12 * int.from_bytes(data[first : first + 2], "little")
    data[end : end + 4] = first.to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(data)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, noise(4, 4, 3))


def test_the_limit_is_on_all_pages(tmp_path: Path, monkeypatch) -> None:
    write_pages(tmp_path / "a.tif", [photo_of(noise(10, 10, 3))] * 3)
    monkeypatch.setattr("jaxgen.photos.reading.MAX_PIXELS", 299)
    with pytest.raises(InputError, match="allow-large"):
        read_pages(tmp_path / "a.tif")
    assert len(read_pages(tmp_path / "a.tif", allow_large=True)) == 3
