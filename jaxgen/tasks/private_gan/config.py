"""The configuration of a private GAN: that of a GAN, without what a proof of privacy forbids, and the budget."""

import dataclasses
from typing import Literal

from tyro.conf import OmitArgPrefixes

from jaxgen.data.config import DataConfig
from jaxgen.errors import require
from jaxgen.tasks.gan.config import GanConfig, GanHparams
from jaxgen.training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class PrivateGanConfig(GanConfig):
    """Structure and privacy budget of a private GAN."""

    privacy: Literal["discriminator", "embedding"] = "discriminator"
    """Where noise is added: discriminator: to each of its gradients (DP-SGD); embedding: once, to a mean of random
    features that the generator is trained to match, which takes minutes."""
    epsilon: float = 10.0
    """Privacy budget of the whole run; a run whose steps would spend more is refused."""
    delta: float = 1e-5
    """Probability that the guarantee does not hold; well below 1 / number of images."""
    noise_multiplier: float | None = None
    """Standard deviation of the noise, in units of the clip; None: the least that keeps to epsilon over all steps."""
    num_images: int | None = None
    """Number of training images, which is not kept private; None: that of the data."""
    earlier: tuple[float, ...] = ()
    """Noise multiplier, sampling rate and steps of each private training whose weights this one starts from, which
    count towards epsilon; empty: those of the run that `initial_weights` names."""
    loss: Literal["non_saturating", "hinge"] = "non_saturating"
    """Adversarial loss; relativistic is excluded, because its generator loss reads real images."""
    penalties: tuple[Literal["r1", "r2"], ...] = ()
    """Gradient penalties, part of the clipped gradient of each image; steps take several times as long."""
    discriminator_updates: int = 5
    """Discriminator updates per generator update; each step is one."""
    adaptive: bool = False
    """Raise the number of updates along 1, 2, 5, ..., 5000 while the discriminator fails on generated images."""
    dtype: Literal["float32"] = "float32"
    """Compute dtype; with less precision the clip would not bound each gradient."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.epsilon > 0, "epsilon", self.epsilon, "above 0")
        require(0 < self.delta < 1, "delta", self.delta, "above 0 and below 1")
        noise = self.noise_multiplier
        require(noise is None or noise > 0, "noise_multiplier", noise, "above 0, or None")


@dataclasses.dataclass(frozen=True)
class PrivateGanHparams(GanHparams):
    """Numbers of a private GAN: those of a GAN, and the clip."""

    clip: float = 1.0
    """Largest norm of the gradient of an image; longer ones are clipped to it."""
    lr: float = 5e-4
    """Learning rate of both networks at the start."""
    lr_final: float = 1e-4
    """Learning rate at the end of the schedule."""
    b1: float = 0.5
    """Adam's decay of the first moment."""
    b2: float = 0.999
    """Adam's decay of the second moment at the start."""
    b2_final: float = 0.999
    """Adam's decay of the second moment at the end of the schedule."""
    ema_half_life: float = 100_000.0
    """Half-life of the moving average of the generator's weights, in training images seen."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.clip > 0, "hparams.clip", self.clip, "above 0")


@dataclasses.dataclass(frozen=True)
class PrivateGanRecipe:
    """All settings of a private GAN's run."""

    data: OmitArgPrefixes[DataConfig] = DataConfig()
    private_gan: OmitArgPrefixes[PrivateGanConfig] = PrivateGanConfig()
    hparams: PrivateGanHparams = PrivateGanHparams()
    train: OmitArgPrefixes[TrainConfig] = TrainConfig(steps=5_000, batch_size=1024, checkpoint_every=500)

    first = (
        "dataset", "image_size", "privacy", "epsilon", "delta", "architecture", "conditioning", "hparams.lr",
        "hparams.clip", "steps", "minutes", "batch_size", "seed", "out", "resume", "initial_weights",
    )  # fmt: skip
    """The flags that `--help` shows; `--help-all` shows all."""
    counted = (
        ("private_gan", "privacy"), ("private_gan", "noise_multiplier"), ("private_gan", "num_images"),
        ("private_gan", "earlier"), ("train", "batch_size"),
    )  # fmt: skip
    """What a run that goes on may not change: the privacy of all its steps is counted with it."""

    def __post_init__(self) -> None:
        every, saved = self.train.sample_every, self.train.checkpoint_every
        accepted = f"a multiple of checkpoint_every ({saved}), so that no picture shows steps that a crash takes back"
        require(every % saved == 0, "sample_every", every, accepted)

    @property
    def gan(self) -> PrivateGanConfig:
        """Returns the structure, by the name under which those who use a GAN look for it."""
        return self.private_gan
