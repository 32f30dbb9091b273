"""The configuration of a restorer: structure, numbers, and everything that decides a run."""

import dataclasses
from typing import Literal

from tyro.conf import OmitArgPrefixes

from jaxgen.data.config import DataConfig
from jaxgen.errors import require, require_choices, require_numbers
from jaxgen.training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class RestorationConfig:
    """Structure of a restorer and of its training: what decides the compiled program."""

    architecture: Literal["inverse", "dense", "recurrent"] = "inverse"
    """inverse: fully convolutional, any size; dense: the source's form, one small size; recurrent: the CRNN."""
    widths: tuple[int, ...] = (32, 64, 128)
    """Channels on the grids of a half, a quarter, ... of the size."""
    blocks: int = 1
    """Residual blocks on each grid, down and up."""
    depth: int = 3
    """Residual blocks on the smallest grid (recurrent: as many as `blocks`)."""
    iterations: int = 6
    """Iterations of the recurrent network."""
    keep_known: bool = False
    """Pixels that a mask calls known come out as they went in: for damage that leaves them intact."""
    schedule: str = "noise:2000,damage:4000"
    """Phases in turn and their steps; the last one goes on where the run is longer."""
    damage: str = "gaussian:0-0.2"
    """Damage of the phase "damage": KIND:LOW-HIGH, one after another with +, one of several for each image with |."""
    loss: Literal["charbonnier", "l1", "mse", "psnr"] = "charbonnier"
    """What is minimised, of the recurrent network over all iterations; psnr: its negative, all images weigh alike."""
    optimizer: Literal["adam", "muon", "sgd"] = "adam"
    """Optimizer; muon makes the updates of convolutions orthogonal."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype; parameters stay float32."""

    def __post_init__(self) -> None:
        for field in ("blocks", "depth", "iterations"):
            require(getattr(self, field) >= 1, field, getattr(self, field), "1 or more")
        widths_accepted = len(self.widths) >= 1 and min(self.widths) >= 1
        require(widths_accepted, "widths", self.widths, "one number of channels or more, each 1 or more")
        require_choices(self)


@dataclasses.dataclass(frozen=True)
class RestorationHparams:
    """Numbers of the training of a restorer; traced, so that one compiled step serves every value."""

    lr: float = 1e-3
    """Learning rate at the start of the cosine, after a linear rise over its first hundredth."""
    lr_final: float = 1e-6
    """Learning rate at the end of the schedule."""
    b1: float = 0.9
    """Decay of the first moment."""
    b2: float = 0.99
    """Decay of the second moment."""
    weight_decay: float = 0.0
    """Weight decay of muon, times the learning rate."""
    noise_share: float = 0.1
    """Share of the images in phase "damage" that are shown under the noise of phase "noise"."""
    grey_share: float = 0.0
    """Share of the images that are turned grey, damage included, so that a colour network restores grey ones too."""
    ema_half_life: float = 10_000.0
    """Images after which the moving average of the weights has forgotten half."""
    schedule_images: float | None = None
    """Images over which the cosine runs; None: the whole run."""

    def __post_init__(self) -> None:
        require_numbers(self, below_one=("b1", "b2"))
        for field in ("noise_share", "grey_share"):
            require(getattr(self, field) <= 1, f"hparams.{field}", getattr(self, field), "0 to 1")


@dataclasses.dataclass(frozen=True)
class RestorationRecipe:
    """Everything that decides the run of a restorer."""

    data: OmitArgPrefixes[DataConfig] = DataConfig()
    restoration: OmitArgPrefixes[RestorationConfig] = RestorationConfig()
    hparams: RestorationHparams = RestorationHparams()
    train: OmitArgPrefixes[TrainConfig] = TrainConfig(steps=6_000)
    validation: str | None = None
    """Images to judge by, named as `dataset` is; None: the split "test", or one image in twenty held out."""
    initial_weights: str | None = None
    """Weights to start from: "photos", "photos-grey" (the package's), a run or its restorer.safetensors. None: none."""
