"""The configuration of a GAN: its structure, its numbers, and all settings of a run."""

import dataclasses
from typing import Literal

from tyro.conf import OmitArgPrefixes

from jaxgen.data.config import DataConfig
from jaxgen.errors import require, require_choices, require_numbers
from jaxgen.training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class GanConfig:
    """Structure of a GAN; a change of it compiles a new program."""

    architecture: Literal["auto", "mlp", "dcgan", "resnet"] = "auto"
    """dcgan: sides of 28 or 32 px; resnet: sides of 8 to 256 px in steps of 4; mlp: any; auto: the first that fits."""
    latent_dim: int = 64
    """Length of the latent vector."""
    base_channels: int = 32
    """Width of the networks (mlp: the hidden layer has 32 times as many units)."""
    conditioning: Literal["none", "concat", "projection"] = "none"
    """How the discriminator gets the class: not at all, beside its input, or by a projection of its features."""
    loss: Literal["minimax", "non_saturating", "hinge", "wasserstein", "relativistic"] = "relativistic"
    """Adversarial loss."""
    penalties: tuple[Literal["r1", "r2", "gp"], ...] = ("r1", "r2")
    """Gradient penalties: r1 on real images, r2 on generated images, gp on mixtures of both (Wasserstein)."""
    penalty_interval: int = 1
    """Apply the penalties at every n-th step, n times as strongly."""
    discriminator_updates: int = 1
    """Discriminator updates per generator update; each reads a batch of its own, which counts as images seen."""
    augment: tuple[Literal["translation", "cutout", "color", "flips"], ...] = ()
    """DiffAugment: random augmentations of the discriminator's input, for small data sets."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Optimizer of both networks."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype; parameters stay float32."""

    def __post_init__(self) -> None:
        for field in ("latent_dim", "base_channels", "penalty_interval", "discriminator_updates"):
            require(getattr(self, field) >= 1, field, getattr(self, field), "1 or more")
        require_choices(self)
        for field in ("penalties", "augment"):
            value = getattr(self, field)
            require(len(set(value)) == len(value), field, value, "each name once")


@dataclasses.dataclass(frozen=True)
class GanHparams:
    """Numbers of a GAN; they are traced, so that one compiled step serves all values. Schedules are cosines."""

    lr: float = 1e-3
    """Learning rate of both networks at the start."""
    lr_final: float = 1e-4
    """Learning rate at the end of the schedule."""
    b1: float = 0.0
    """Adam's decay of the first moment."""
    b2: float = 0.9
    """Adam's decay of the second moment at the start."""
    b2_final: float = 0.99
    """Adam's decay of the second moment at the end of the schedule."""
    r1: float = 1.0
    """Weight of R1 (times half the squared gradient norm on real images) at the start."""
    r2: float = 1.0
    """Weight of R2 (the same on generated images) at the start."""
    gp: float = 10.0
    """Weight of the Wasserstein gradient penalty at the start."""
    penalty_final: float = 0.1
    """Factor on r1, r2 and gp at the end of the schedule."""
    ema_half_life: float = 20_000.0
    """Half-life of the moving average of the generator's weights, in training images seen."""
    schedule_images: float | None = None
    """Training images seen over which the schedules run; None: those of the whole run."""

    def __post_init__(self) -> None:
        require_numbers(self, below_one=("b1", "b2", "b2_final"))


@dataclasses.dataclass(frozen=True)
class GanRecipe:
    """All settings of a GAN's run."""

    data: OmitArgPrefixes[DataConfig] = DataConfig()
    gan: OmitArgPrefixes[GanConfig] = GanConfig()
    hparams: GanHparams = GanHparams()
    train: OmitArgPrefixes[TrainConfig] = TrainConfig()

    first = (
        "dataset", "image_size", "architecture", "conditioning", "augment", "hparams.lr", "steps", "minutes",
        "batch_size", "seed", "out", "resume", "initial_weights",
    )  # fmt: skip
    """The flags that `--help` shows; `--help-all` shows all."""
