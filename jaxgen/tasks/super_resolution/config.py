"""The configuration of super-resolution: its structure, its numbers, and all settings of a run."""

import dataclasses
from typing import Literal

from tyro.conf import OmitArgPrefixes

from jaxgen.data.config import DataConfig
from jaxgen.errors import require, require_choices, require_numbers
from jaxgen.training.config import TrainConfig

SCALES = (2, 3, 4, 8)
"""The factors that a network can have a head for."""


@dataclasses.dataclass(frozen=True)
class SuperResolutionConfig:
    """Structure of the network and of its training; a change of it compiles a new program."""

    scale: tuple[int, ...] = (2, 3, 4)
    """Factors that the network learns, of 2, 3, 4 and 8; it has a head for each, and one trunk."""
    width: int = 48
    """Channels of the trunk."""
    blocks: int = 8
    """Residual blocks of the trunk."""
    degradation: Literal["bicubic", "photo"] = "bicubic"
    """How the small images arise: bicubic: by exact bicubic reduction; photo: by blur, noise, resizing and JPEG too."""
    loss: Literal["charbonnier", "l1", "mse", "psnr"] = "charbonnier"
    """Loss of the enlarged images."""
    optimizer: Literal["adam", "muon", "sgd"] = "muon"
    """Optimizer; muon orthogonalises the updates of convolutions."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype; parameters stay float32."""

    def __post_init__(self) -> None:
        for field in ("width", "blocks"):
            require(getattr(self, field) >= 1, field, getattr(self, field), "1 or more")
        known = len(self.scale) >= 1 and set(self.scale) <= set(SCALES) and len(set(self.scale)) == len(self.scale)
        require(known, "scale", self.scale, f"one or more of {', '.join(map(str, SCALES))}, each once")
        require_choices(self)


@dataclasses.dataclass(frozen=True)
class SuperResolutionHparams:
    """Numbers of the training; they are traced, so that one compiled step serves all values."""

    lr: float = 2e-3
    """Peak learning rate: 1% linear warm-up, then a cosine to lr_final."""
    lr_final: float = 1e-6
    """Learning rate at the end of the schedule."""
    b1: float = 0.95
    """Decay of the first moment."""
    b2: float = 0.99
    """Decay of the second moment."""
    weight_decay: float = 0.1
    """Weight decay of muon; it is multiplied by the learning rate."""
    ema_half_life: float = 10_000.0
    """Half-life of the moving average of the weights, in training images seen."""
    schedule_images: float | None = None
    """Training images seen over which the cosine runs; None: those of the whole run."""

    def __post_init__(self) -> None:
        require_numbers(self, below_one=("b1", "b2"))


@dataclasses.dataclass(frozen=True)
class SuperResolutionRecipe:
    """All settings of a run."""

    data: OmitArgPrefixes[DataConfig] = DataConfig(channels=3, crop_size=144, flip=True)
    super_resolution: OmitArgPrefixes[SuperResolutionConfig] = SuperResolutionConfig()
    hparams: SuperResolutionHparams = SuperResolutionHparams()
    train: OmitArgPrefixes[TrainConfig] = TrainConfig(steps=5_000, batch_size=8)
    validation: str | None = None
    """Test images for the final table, in the form of --dataset; None: the split "test", or one image in twenty."""

    first = (
        "dataset", "scale", "degradation", "crop_size", "hparams.lr", "steps", "minutes", "batch_size", "seed", "out",
        "resume", "initial_weights",
    )  # fmt: skip
    """The flags that `--help` shows; `--help-all` shows all."""
