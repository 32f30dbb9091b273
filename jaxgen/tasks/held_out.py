"""Which images of a data set are not trained on: some to choose the best checkpoint by, others to evaluate on."""

import dataclasses
from typing import Any

import numpy as np

from jaxgen.data.base import Source, subset
from jaxgen.data.canaries import flip_coins
from jaxgen.data.sources import open_source
from jaxgen.errors import InputError, require
from jaxgen.tasks.base import Data

HELD_OUT = 20
"""One training image in this many, 500 at most, is held out to choose the best checkpoint by; and as many once more to
evaluate on if the data has no test split."""


def open_all(config: Any, source: Source | None = None) -> Data:
    """Returns images to train on, others to evaluate on, and others to choose the best checkpoint by.

    Those to evaluate on are `config.validation`, the test split, or some of the training images. The best checkpoint is
    chosen by some of the training images. With fewer than `HELD_OUT` of these, it is chosen by those to evaluate on.

    Raises:
      InputError: see `open_source`; or there are too few images to hold any out.
    """
    train = source or open_source(config.data)
    held_out = _named(config, train)
    if held_out is None:
        require(
            train.num_images >= 2, "dataset", config.data.dataset, "two images or more, so that one can be held out"
        )
        train, held_out = _hold_some_out(train)
    train, validation = (train, held_out) if train.num_images < HELD_OUT else _hold_some_out(train)
    return Data(flip_coins(train, config.data.canaries, config.train.seed), held_out, validation)


def _named(config: Any, train: Source) -> Source | None:
    """Returns the images to evaluate on that have a name: `validation`, or the test split; None without any."""
    if config.validation is not None:
        return open_source(dataclasses.replace(config.data, dataset=config.validation))
    if not train.uses_tensorflow or config.data.split != "train":
        return None
    try:
        return open_source(dataclasses.replace(config.data, split="test", flip=False))
    except InputError as error:
        if not str(error).startswith("split:"):
            raise
    return None


def _hold_some_out(source: Source) -> tuple[Source, Source]:
    """Returns the images of a source without some of them, drawn at random, and those."""
    order = np.random.default_rng(0).permutation(source.num_images)
    num = min(500, max(1, source.num_images // HELD_OUT))
    return subset(source, np.sort(order[num:])), subset(source, np.sort(order[:num]))
