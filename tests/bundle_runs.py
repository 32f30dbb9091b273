"""Small runs, made without training, for the tests of bundles."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxgen.checkpoints import folder as checkpoints
from jaxgen.config_json import to_dict
from jaxgen.networks.inverse import ESTIMATOR
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.restoration.algorithm import make_restoration

NAMES = ("bright", "dark", "grey")


def _moved(path, x):
    """Other weights; those of an estimator, which has many channels, and of volumes by their sizes."""
    return 1.1 * x if ESTIMATOR in jax.tree_util.keystr(path) or x.ndim == 5 else x + 0.1


def write_run(folder, config, algorithm, shape, class_names=()):
    """A run folder with the checkpoint of step 5, whose averaged weights differ from the others."""
    config = dataclasses.replace(config, hparams=dataclasses.replace(config.hparams, schedule_images=100.0))
    state = jax.jit(algorithm.init)(jax.random.key(0), vars(config.hparams))
    averaged = jax.tree_util.tree_map_with_path(_moved, state.ema_params)
    state = state.replace(step=jnp.asarray(5, jnp.int32), ema_params=averaged)
    meta = {"config": to_dict(config), "position": 5, "shape": list(shape), "class_names": list(class_names)}
    store = checkpoints.open_checkpoints(folder / "checkpoints")
    try:
        checkpoints.save(store, 5, state, meta)
    finally:
        checkpoints.close(store)
    return folder


def write_gan(folder, config, shape=(8, 8, 1), class_names=NAMES):
    return write_run(folder, config, make_gan(config.gan, shape, 4, len(class_names)), shape, class_names)


def write_restorer(folder, config, shape=(16, 16, 1)):
    return write_run(folder, config, make_restoration(config.restoration, shape, 4), shape)
