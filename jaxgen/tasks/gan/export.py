"""A trained GAN as a network that can be exported."""

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict
from jax import export

from jaxgen.bundles.manifest import image_entry
from jaxgen.tasks.base import Exportable, ExportChoices, Trained, flat_weights, require_no_choice
from jaxgen.tasks.gan.inputs import class_names
from jaxgen.tasks.gan.pairs import make_gan_pair

NUM_GOLDEN = 4


def exportable(gan: Trained, choices: ExportChoices) -> Exportable:
    """Returns the generator with its averaged weights: it maps latents, and class weights if conditional, to images.

    Raises:
      InputError: something is chosen, as a GAN leaves no choice.
    """
    require_no_choice(choices, *choices._fields)
    config, names = gan.config.gan, class_names(gan)
    generator = make_gan_pair(config, gan.facts.shape)[0].clone(dtype=jnp.float32)
    (b,) = export.symbolic_shape("b")
    inputs = {"latents": jax.ShapeDtypeStruct((b, config.latent_dim), jnp.float32)}
    noise = np.random.default_rng(0)
    golden = {"latents": noise.normal(size=(NUM_GOLDEN, config.latent_dim)).astype(np.float32)}
    if names:
        inputs["condition"] = jax.ShapeDtypeStruct((b, len(names)), jnp.float32)
        golden["condition"] = np.eye(len(names), dtype=np.float32)[np.arange(NUM_GOLDEN) % len(names)]
    *sizes, channels = gan.facts.shape
    return Exportable(
        lambda weights, *arrays: generator.apply({"params": unflatten_dict(weights, sep="/")}, *arrays),
        flat_weights(gan.state.ema_params["generator"]),
        inputs,
        "images",
        golden,
        tuple({"b": n} for n in (1, 3, 16)),
        {
            "kind": "gan",
            "image": image_entry(sizes, channels),
            "latent_dim": config.latent_dim,
            "labels": list(names),
        },
    )
