"""Large holes through the package's weights: flat pictures stay flat, ramps go on, whatever the size of the hole."""

import numpy as np
import pytest

import jaxgen
from jaxgen.bundles.holes import RIM
from jaxgen.tasks.restoration.pixels import Models, make_restore
from tests.stand_ins import restorer_of

SIZE = 256
RED = np.broadcast_to(np.uint8([255, 0, 0]), (SIZE, SIZE, 3))
STEPS = np.arange(SIZE, dtype=np.uint8)
ACROSS = np.broadcast_to(STEPS[:, None], (SIZE, SIZE))
SLANTED = np.stack([(ACROSS + ACROSS.T.astype(int)) // 2, ACROSS[::-1], np.full_like(ACROSS, 90)], -1).astype(np.uint8)


@pytest.mark.parametrize("width", [48, 96, 200])
@pytest.mark.parametrize(("clean", "most"), [(RED, 2), (ACROSS, 2), (SLANTED, 2)], ids=["red", "grey ramp", "ramps"])
def test_holes_are_filled_with_what_is_around(clean: np.ndarray, most: int, width: int) -> None:
    first = (SIZE - width) // 2
    missing = np.zeros((SIZE, SIZE), bool)
    missing[first : first + width, first : first + width] = True
    damaged = clean.copy()
    damaged[missing] = 7
    restored = jaxgen.restore(damaged, missing).astype(int)
    assert np.abs(restored - clean)[missing].max() <= most
    np.testing.assert_array_equal(restored[~missing], clean[~missing])


def test_strength_weighs_the_original_in_holes_too() -> None:
    pixels = np.full((60, 64, 1), 200, np.uint8)
    known = np.ones((60, 64), bool)
    known[15:40, 15:40] = False
    pixels[~known] = 40
    model = restorer_of(lambda images, known: images, channels=1)
    restored = make_restore(Models({1: model}), 0.25, 64)(pixels, known).pixels
    middle = np.zeros_like(known)
    middle[15 + RIM : 40 - RIM, 15 + RIM : 40 - RIM] = True  # the network here returns the middle grey of the rim
    expected = np.where(known, 200, 0.75 * 40 + 0.25 * np.where(middle, 200, 127.5))
    np.testing.assert_allclose(restored[..., 0], expected, atol=0.51)
