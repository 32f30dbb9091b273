"""A restorer that nobody trained, for the tests of what is done with one."""

import jax.numpy as jnp

from jaxgen.tasks import table
from jaxgen.tasks.base import Facts, Trained
from jaxgen.tasks.restoration.config import RestorationRecipe
from jaxgen.training.step import Algorithm, Sizes, TrainState
from jaxgen.types import Prediction


def restorer_of(apply, channels: int = 3, halo: int = 2, multiple: int = 2, name: str = "fake") -> Trained:
    """A restorer whose network is a function of (images, known); missing pixels come in as 0."""
    algorithm = Algorithm(
        init=None,
        step=None,
        predict=lambda state, seen, key: Prediction(apply(seen.images, seen.masks)),
        draw_inputs=None,
        images_per_step=1,
        sizes=Sizes(halo, multiple),
    )
    state = TrainState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), {}, {}, {}, {}, {})
    return Trained(table.task("restoration"), RestorationRecipe(), algorithm, state, Facts((8, 8, channels), name=name))
