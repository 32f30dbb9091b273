"""What is said of the images when a training begins."""

import numpy as np
import pytest

from jaxgen.data.config import DataConfig
from jaxgen.data.notes import class_notes, size_notes
from jaxgen.data.sources import array_source
from jaxgen.tasks.gan.config import GanConfig, GanRecipe
from jaxgen.tasks.gan.data import notes


def source_of(num, size=(8, 8), labels=None, **config):
    return array_source(np.zeros((num, *size, 1), np.uint8), labels, DataConfig("arrays", **config))


def test_counts_of_classes():
    assert class_notes(source_of(6)) == ()
    assert class_notes(source_of(6, labels=[0, 1, 2] * 2)) == ("classes: 3, 2 images each",)
    assert class_notes(source_of(1200, labels=[5] * 1100 + [7] * 100)) == ("classes: 2, 100 to 1,100 images each",)
    few = class_notes(source_of(2000, labels=["a"] * 1500 + ["b"] * 494 + ["c"] * 6))
    assert few[1] == "warning: hardly any images of c (6); the mean is 667"


def test_cut_arrays_are_counted():
    assert size_notes(source_of(3, (8, 12))) == ()
    assert size_notes(source_of(3, image_size=4)) == ()
    assert size_notes(source_of(3, (8, 12), image_size=4)) == (
        "3 of 3 images are cut to their central square, resized to 4 x 4 px",
    )


@pytest.mark.parametrize(
    ("structure", "source", "words"),
    [
        ({}, source_of(200), []),
        ({}, source_of(199), ["only 199 images: --augment translation cutout color (in Python GanConfig(augment"]),
        ({"augment": ("color",)}, source_of(9), []),
        ({}, source_of(200, labels=[0, 1] * 100), []),
        ({"conditioning": "concat"}, source_of(200, labels=[0, 1] * 100), ["classes: 2, 100 images each"]),
        ({}, source_of(200, (8, 9)), ["architecture mlp, the only one for 8 x 9 px; sides that are multiples of 4"]),
        ({"architecture": "mlp"}, source_of(200, (8, 9)), []),
    ],
)
def test_what_a_gan_says(structure, source, words):
    lines = notes(GanRecipe(gan=GanConfig(**structure)), source)
    assert len(lines) == len(words)
    assert all(line.startswith(word) for line, word in zip(lines, words, strict=True))
