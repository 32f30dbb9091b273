"""A network that enlarges and that nobody trained, for the tests of what is done with one."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.tasks import table
from jaxgen.tasks.base import Facts, Trained
from jaxgen.tasks.super_resolution.algorithm import make_super_resolution
from jaxgen.tasks.super_resolution.config import SuperResolutionConfig, SuperResolutionRecipe
from jaxgen.types import Observation

SHAPE = (48, 48, 3)


def upscaler_of(scales=(2, 3, 4), seed: int = 0) -> Trained:
    """A tiny network whose weights are away from the small ones that it starts with, so that all have an effect."""
    config = SuperResolutionConfig(scale=scales, width=4, blocks=1)
    algorithm = make_super_resolution(config, SHAPE, 1)
    recipe = SuperResolutionRecipe(super_resolution=config)
    state = algorithm.init(jax.random.key(seed), {**vars(recipe.hparams), "schedule_images": 100.0})
    noise = np.random.default_rng(seed)
    averaged = jax.tree.map(lambda x: x + 0.1 * noise.normal(size=x.shape).astype(np.float32), state.ema_params)
    facts = Facts(SHAPE, name="tiny")
    return Trained(table.task("super_resolution"), recipe, algorithm, state.replace(ema_params=averaged), facts)


def whole(model: Trained, images: np.ndarray, scale: int) -> np.ndarray:
    """What the network makes of images in [-1, 1] at once, clipped."""
    config = model.config.super_resolution
    predict = make_super_resolution(config, SHAPE, 1, scale).predict
    return np.clip(np.asarray(predict(model.state, Observation(jnp.asarray(images)), jax.random.key(0)).images), -1, 1)
