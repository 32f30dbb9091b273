"""What is seen in a picture: impulses that look like nothing else, and windows of the right places and size."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from experiments.old_print import old_print
from jaxgen.bundles.levels import estimate_levels, windows_of
from jaxgen.errors import InputError
from jaxgen.repairs import REPAIRS, parse_repairs
from jaxgen.tasks.restoration.damage_seen import Seen, describe, impulse_share, see_damage
from jaxgen.tasks.restoration.pixels import photo_models

PHOTO = data.chelsea()[:256, 100:356]
RNG = np.random.default_rng(0)


def share_of(pixels: np.ndarray) -> float:
    return impulse_share(windows_of(pixels))


def drawn(pixels: np.ndarray, text: str, *fills: tuple[int, ...]) -> np.ndarray:
    image = Image.fromarray(pixels)
    for i, fill in enumerate(fills):
        for y in range(i * 20, 256, 20 * len(fills)):
            ImageDraw.Draw(image).text((4, y), text, fill=fill, font=ImageFont.load_default(14))
    return np.asarray(image)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
@pytest.mark.parametrize("grey", [True, False])
def test_salt_and_pepper_is_counted(share: float, grey: bool) -> None:
    pixels, drawn_at = PHOTO[..., 1:2] if grey else PHOTO, np.random.default_rng(1).random((256, 256, 1))
    noisy = np.where(drawn_at < share / 2, 0, np.where(drawn_at > 1 - share / 2, 255, pixels)).astype(np.uint8)
    assert share_of(noisy) == pytest.approx(share, rel=0.1)
    assert share_of(noisy.astype(np.uint16) * 257) == pytest.approx(share, rel=0.1)


def test_salt_and_pepper_is_counted_in_the_dark() -> None:
    drawn_at, dark = np.random.default_rng(1).random((256, 256, 1)), PHOTO // 8
    noisy = np.where(drawn_at < 0.15, 0, np.where(drawn_at > 0.85, 255, dark)).astype(np.uint8)
    assert share_of(noisy) == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize(
    "pixels",
    [
        PHOTO,
        np.clip(PHOTO + RNG.normal(0, 50, PHOTO.shape), 0, 255).astype(np.uint8),
        np.clip(PHOTO[..., :1] + RNG.normal(0, 60, (256, 256, 1)), 0, 255).astype(np.uint8),
        drawn(PHOTO, "Lake, summer 1987, in the evening", (255,) * 3, (0,) * 3),
        drawn(np.full((256, 256, 3), 255, np.uint8), "Black on white, to the edge of it", (0,) * 3),
        drawn(np.full((256, 256, 3), 90, np.uint8), "Black and white on grey, both", (255,) * 3, (0,) * 3),
        np.where(RNG.random((256, 256, 1)) < 0.02, 255, PHOTO).astype(np.uint8),
        (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)[..., None],
        np.zeros((256, 256, 3), np.uint8),
    ],
    ids=["photo", "noise", "grey noise", "captions", "text", "two inks", "stars", "chequer", "black"],
)
def test_nothing_else_looks_like_it(pixels: np.ndarray) -> None:
    assert share_of(pixels) == 0.0


@pytest.mark.parametrize("size", [(300, 500), (64, 64), (20, 200), (1, 1), (3, 70)])
def test_windows_are_spread_over_the_picture(size: tuple[int, int]) -> None:
    pixels = RNG.integers(0, 256, (*size, 3), np.uint8)
    windows = windows_of(pixels)
    assert windows.shape == (48, 64, 64, 3)
    if min(size) >= 64:
        np.testing.assert_allclose(windows[0], pixels[:64, :64] / 127.5 - 1, atol=1e-6)
    assert set(np.unique(np.rint((windows + 1) * 127.5))) <= set(np.unique(pixels).astype(float))


def test_it_is_said_in_words() -> None:
    seen = Seen({"noise": 12 / 255, "jpeg": 0.6}, 0.02)
    assert describe(seen, ("noise",)) == (
        "noise of about 12/255, JPEG quality of about 40; "
        "looks like salt and pepper on 2.0% of the pixels: --repair salt-and-pepper"
    )
    assert describe(seen, ("salt_and_pepper",)).endswith("; salt and pepper on 2.0% of the pixels")
    assert describe(Seen({"noise": 0.0}, 0.0), ()) == ""


def test_repairs_are_read_in_any_order_and_spelling() -> None:
    assert parse_repairs("salt-and-pepper, noise", REPAIRS) == ("noise", "salt_and_pepper")
    assert parse_repairs(["dust", "noise"], REPAIRS) == ("noise", "dust")
    assert parse_repairs("all", ("jpeg", "blur")) == ("jpeg", "blur")
    assert parse_repairs(None, REPAIRS) is None
    for wrong in ("mist", "", "noise,,jpeg", []):
        with pytest.raises(InputError, match=r"repair: got .*; accepted: noise, jpeg"):
            parse_repairs(wrong, REPAIRS)


def test_noise_counts_only_where_it_is_everywhere() -> None:
    windows = np.zeros((48, 64, 64, 3), np.float32)
    windows[:10] = 1.0  # overexposed, and cut off there
    found = np.full((48, 2), 0.1, np.float32)
    found[:10, 0] = 0.0
    noisy = estimate_levels(lambda _: found, ("noise", "jpeg"), 3, windows)
    assert noisy == pytest.approx({"noise": 0.1, "jpeg": 0.1})
    found[10:22, 0] = 0.0  # 26 of 38 are most of them
    assert estimate_levels(lambda _: found, ("noise", "jpeg"), 3, windows)["noise"] == pytest.approx(0.1)
    found[22, 0] = 0.0  # 25 are not, so that what the others show is texture
    assert estimate_levels(lambda _: found, ("noise", "jpeg"), 3, windows) == pytest.approx({"noise": 0.0, "jpeg": 0.1})


def test_the_grain_of_a_print_is_seen_though_a_fold_and_a_corner_were_filled_in() -> None:
    scan, mask, new = old_print()
    filled = np.where(mask[..., None] > 0, new, scan)  # has no grain
    assert see_damage(photo_models().main[3], filled).levels["noise"] > 5 / 255
