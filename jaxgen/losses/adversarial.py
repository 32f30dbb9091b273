"""Adversarial losses of discriminator and generator, one value per example, from logits that are large for real images.

Each entry of `ADVERSARIAL_LOSSES` has `discriminator(real_logits, fake_logits)` and `generator(real_logits,
fake_logits)`, both (b,) -> (b,). Only the relativistic generator loss uses the real logits.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax.nn import softplus

from jaxgen.types import Logits

PairLoss = Callable[[Logits, Logits], Logits]


class AdversarialLoss(NamedTuple):
    """The losses of both networks, and whether that of the generator uses real images."""

    discriminator: PairLoss
    generator: PairLoss
    generator_sees_real: bool = False


def cross_entropy_discriminator_loss(real_logits: Logits, fake_logits: Logits) -> Logits:
    """Returns -log D(x) - log(1 - D(G(z))) with D = sigmoid(logit), which is softplus(-real) + softplus(fake).

    Args:
      real_logits: (b,).
      fake_logits: (b,).

    Returns:
      (b,), at least 0; 2 log 2 if both logits are 0.

    References:
      Goodfellow et al., "Generative Adversarial Nets", 2014, equation 1.
    """
    return softplus(-real_logits) + softplus(fake_logits)


def minimax_generator_loss(real_logits: Logits, fake_logits: Logits) -> Logits:
    """Returns log(1 - D(G(z))) = -softplus(fake), the minimax loss, whose gradient vanishes for bad images.

    Args:
      real_logits: (b,), unused.
      fake_logits: (b,).

    Returns:
      (b,), at most 0.

    References:
      Goodfellow et al., 2014, equation 1.
    """
    return -softplus(fake_logits)


def non_saturating_generator_loss(real_logits: Logits, fake_logits: Logits) -> Logits:
    """Returns -log D(G(z)) = softplus(-fake).

    Args:
      real_logits: (b,), unused.
      fake_logits: (b,).

    Returns:
      (b,), at least 0.

    References:
      Goodfellow et al., 2014, section 3.
    """
    return softplus(-fake_logits)


def hinge_discriminator_loss(real_logits: Logits, fake_logits: Logits) -> Logits:
    """Returns max(0, 1 - real) + max(0, 1 + fake).

    Args:
      real_logits: (b,).
      fake_logits: (b,).

    Returns:
      (b,), at least 0.

    References:
      Lim and Ye, "Geometric GAN", 2017, equation 8.
    """
    return jax.nn.relu(1.0 - real_logits) + jax.nn.relu(1.0 + fake_logits)


def wasserstein_discriminator_loss(real_logits: Logits, fake_logits: Logits) -> Logits:
    """Returns fake - real, for use with a gradient penalty.

    Args:
      real_logits: (b,).
      fake_logits: (b,).

    Returns:
      (b,), any sign.

    References:
      Arjovsky et al., "Wasserstein GAN", 2017, equation 2.
    """
    return fake_logits - real_logits


def negative_score_generator_loss(real_logits: Logits, fake_logits: Logits) -> Logits:
    """Returns -fake, the generator loss that goes with the hinge and Wasserstein losses.

    Args:
      real_logits: (b,), unused.
      fake_logits: (b,).

    Returns:
      (b,), any sign.

    References:
      Arjovsky et al., 2017, equation 2.
    """
    return -fake_logits


def relativistic_discriminator_loss(real_logits: Logits, fake_logits: Logits) -> Logits:
    """Returns softplus(-(real - fake)) for pairs of a real and a fake image.

    Args:
      real_logits: (b,).
      fake_logits: (b,), paired with the real ones by position.

    Returns:
      (b,), at least 0; log 2 if both logits are equal.

    References:
      Jolicoeur-Martineau, "The relativistic discriminator", 2018; Huang et al., "The GAN is dead; long live the
      GAN! A modern GAN baseline" (R3GAN), 2024, equation 2.
    """
    return softplus(fake_logits - real_logits)


def relativistic_generator_loss(real_logits: Logits, fake_logits: Logits) -> Logits:
    """Returns softplus(-(fake - real)) for pairs, low if the fake image looks more real than the real one.

    Args:
      real_logits: (b,).
      fake_logits: (b,), paired with the real ones by position.

    Returns:
      (b,), at least 0.

    References:
      Huang et al., 2024, equation 2.
    """
    return softplus(real_logits - fake_logits)


ADVERSARIAL_LOSSES = {
    "minimax": AdversarialLoss(cross_entropy_discriminator_loss, minimax_generator_loss),
    "non_saturating": AdversarialLoss(cross_entropy_discriminator_loss, non_saturating_generator_loss),
    "hinge": AdversarialLoss(hinge_discriminator_loss, negative_score_generator_loss),
    "wasserstein": AdversarialLoss(wasserstein_discriminator_loss, negative_score_generator_loss),
    "relativistic": AdversarialLoss(relativistic_discriminator_loss, relativistic_generator_loss, True),
}
