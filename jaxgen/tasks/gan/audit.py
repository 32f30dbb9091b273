"""The audit of a GAN: its discriminator knows the images that it was trained on, or its generator copies them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from jaxgen.audit.attacks import in_batches, nearest_fakes
from jaxgen.audit.outcome import Outcome, Scores
from jaxgen.errors import require
from jaxgen.evaluation.samples import open_splits
from jaxgen.images import to_float
from jaxgen.tasks.base import Trained
from jaxgen.tasks.candidates import Shadow, conclude, find_candidates
from jaxgen.tasks.gan.evaluate import generated_by
from jaxgen.tasks.gan.pairs import make_gan_pair
from jaxgen.types import Batch


def audit_run(
    gan: Trained, run: Path, num: int | None = None, seed: int = 0, shadows: Sequence[Shadow] = ()
) -> Outcome:
    """Returns the outcome of attacks on a GAN; prints it and writes it to RUN/private and the report.

    A GAN that was trained on a noisy embedding has no discriminator, so that only its images are attacked.

    Args:
      gan: result of `load`.
      run: folder of the run.
      num: number of images to generate, among which copies are looked for; None for 10,000.
      seed: seed of these images.
      shadows: shadow models, by which each attack is also calibrated.

    Raises:
      InputError: see `find_candidates` and `conclude`; or `num` is not 1 or more.
    """
    num = 10_000 if num is None else num
    require(num >= 1, "num", num, "1 or more")
    found = find_candidates(gan, run, seed, lambda data: open_splits(gan.config.data)[1])

    def attack(model: Trained) -> Scores:
        fakes = (images for images, _ in generated_by(model, found.train, num, seed).batches(500))
        scores = {"nearest fakes (black box)": nearest_fakes(found.batch["images"], fakes)}
        if "discriminator" in model.state.params:
            scores = {"discriminator (white box)": in_batches(_discriminator(model), found.batch), **scores}
        return scores

    return conclude(gan, run, found, attack, seed, shadows)


def _discriminator(gan: Trained) -> Callable[[Batch], jax.Array]:
    """Returns the logits of the discriminator (b,) as a function of a batch; no image is augmented."""
    structure, params = gan.config.gan, {"params": gan.state.params["discriminator"]}
    _, network = make_gan_pair(structure, gan.facts.shape)
    num = 0 if structure.conditioning == "none" else len(gan.facts.class_names)

    def logits(batch: Batch) -> jax.Array:
        condition = jax.nn.one_hot(batch["labels"], num, dtype="float32") if num else None
        return network.apply(params, to_float(batch["images"]), condition)

    return logits
