"""The GANs that benchmarks train: recipes, images, and trainings that are ready for a dispatch."""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import gan_mnist, gan_mnist_mlp
from experiments.benchmarks import common
from jaxgen.data.config import DataConfig
from jaxgen.data.pipeline import batches as batches_of
from jaxgen.data.sources import open_source
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanConfig, GanRecipe
from jaxgen.training import parallel
from jaxgen.training.step import TrainState

RESNET = GanRecipe(gan=GanConfig(architecture="resnet"))
RECIPES: dict[str, GanRecipe] = {
    "gan_mnist": gan_mnist.CONFIG,
    "gan_mnist_mlp": gan_mnist_mlp.CONFIG,
    "gan_64": RESNET,
    "gan_128": RESNET,
}
SHAPES = {"gan_mnist": (28, 28, 1), "gan_mnist_mlp": (28, 28, 1), "gan_64": (64, 64, 3), "gan_128": (128, 128, 3)}


def recipe_of(name: str, batch_size: int, dtype: str = "float32") -> GanRecipe:
    """Returns the recipe of a case with its schedule set."""
    recipe = RECIPES[name]
    train = dataclasses.replace(recipe.train, batch_size=batch_size)
    return fix_schedule(dataclasses.replace(recipe, train=train, gan=dataclasses.replace(recipe.gan, dtype=dtype)))


def fix_schedule(recipe: GanRecipe) -> GanRecipe:
    """Returns the recipe with the length of its schedule set, for states that are made without `prepare`."""
    images = float(recipe.train.steps * recipe.train.batch_size)
    return dataclasses.replace(recipe, hparams=dataclasses.replace(recipe.hparams, schedule_images=images))


def images_of(name: str, num: int) -> np.ndarray:
    """Returns images of a case, uint8 (num, h, w, c): digits, or flat patches in place of photographs."""
    shape = SHAPES[name]
    if shape != (28, 28, 1):
        return common.pictures(num, shape[0], shape[2])
    stream = batches_of(open_source(DataConfig(dataset="digits")), batch_size=num, seed=0)
    images = next(stream)["images"]
    stream.close()
    return images


class Training(NamedTuple):
    """A training between two dispatches: the state, the next batches (k, b, ...) and the dispatch."""

    state: TrainState
    batches: dict[str, Any]
    dispatch: parallel.Dispatch


def begin_training(recipe: GanRecipe, images: np.ndarray, devices: int, k: int) -> Training:
    """Returns a GAN before its first step, set up as the training loop does; all batches are the first images."""
    batch_size = recipe.train.batch_size
    algorithm = make_gan(recipe.gan, images.shape[1:], batch_size)
    mesh = parallel.make_mesh(batch_size, devices)
    key = jax.random.key(recipe.train.seed)
    state = parallel.init_state(algorithm, key, dataclasses.asdict(recipe.hparams), mesh)
    stacked = np.broadcast_to(images[:batch_size], (k, batch_size, *images.shape[1:]))
    batches = jax.device_put({"images": stacked}, parallel.batch_sharding(mesh))
    return Training(state, batches, parallel.compile_steps(algorithm, key, mesh))
