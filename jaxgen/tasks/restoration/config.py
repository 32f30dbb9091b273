"""The configuration of a restorer: its structure, its numbers, and all settings of a run."""

import dataclasses
from typing import Literal

from tyro.conf import OmitArgPrefixes

from jaxgen.data.config import DataConfig
from jaxgen.errors import require, require_choices, require_numbers
from jaxgen.repairs import REPAIRS
from jaxgen.training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class RestorationConfig:
    """Structure of a restorer and of its training; a change of it compiles a new program."""

    architecture: Literal["inverse", "dense", "recurrent"] = "inverse"
    """inverse: convolutional, any size; dense: with dense layers, one small size; recurrent: the CRNN, any size."""
    widths: tuple[int, ...] = (32, 64, 128)
    """Channels at half of the image size, at a quarter, and so on."""
    blocks: int = 1
    """Residual blocks at each of these sizes, both on the way down and on the way up."""
    depth: int = 3
    """Residual blocks at the smallest size; the recurrent network uses `blocks` instead."""
    iterations: int = 6
    """Iterations of the recurrent network."""
    keep_known: bool = False
    """Return known pixels unchanged; this is right for damage that leaves them intact, such as holes."""
    schedule: str = "noise:2000,damage:4000"
    """Phases PHASE:STEPS in order; the last one continues to the end of the run."""
    damage: str = "gaussian:0-0.2"
    """Damage of the phase "damage": KIND:LOW-HIGH. + joins kinds in order; | separates choices, one for each image."""
    repairs: tuple[str, ...] = ()
    """Kinds of damage that the user can select for repair: noise, jpeg, blur, scratches, dust, salt_and_pepper. The
    network keeps all other damage. Empty: it always repairs all of `damage`."""
    loss: Literal["charbonnier", "l1", "mse", "psnr", "levels"] = "charbonnier"
    """Loss (recurrent: the mean over iterations); psnr: minus PSNR, which weighs all images alike; levels: that of the
    estimated levels of damage alone, for a quick training of the estimator."""
    optimizer: Literal["adam", "muon", "sgd"] = "adam"
    """Optimizer; muon orthogonalises the updates of convolutions."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype; parameters stay float32."""

    def __post_init__(self) -> None:
        for field in ("blocks", "depth", "iterations"):
            require(getattr(self, field) >= 1, field, getattr(self, field), "1 or more")
        widths_accepted = len(self.widths) >= 1 and min(self.widths) >= 1
        require(widths_accepted, "widths", self.widths, "one number of channels or more, each 1 or more")
        accepted = f"each once, of {', '.join(REPAIRS)}"
        known = set(self.repairs) <= set(REPAIRS) and len(set(self.repairs)) == len(self.repairs)
        require(known, "repairs", self.repairs, accepted)
        require_choices(self)


@dataclasses.dataclass(frozen=True)
class RestorationHparams:
    """Numbers of the training of a restorer; they are traced, so that one compiled step serves all values."""

    lr: float = 1e-3
    """Peak learning rate: 1% linear warm-up, then a cosine to lr_final."""
    lr_final: float = 1e-6
    """Learning rate at the end of the schedule."""
    b1: float = 0.9
    """Decay of the first moment."""
    b2: float = 0.99
    """Decay of the second moment."""
    weight_decay: float = 0.0
    """Weight decay of muon; it is multiplied by the learning rate."""
    noise_share: float = 0.1
    """Share of the images in phase "damage" that get the noise of phase "noise" instead."""
    grey_share: float = 0.0
    """Share of the images that are made grey, damage included, so that a colour network restores grey ones too."""
    ema_half_life: float = 10_000.0
    """Half-life of the moving average of the weights, in training images seen."""
    schedule_images: float | None = None
    """Training images seen over which the cosine runs; None: those of the whole run."""

    def __post_init__(self) -> None:
        require_numbers(self, below_one=("b1", "b2"))
        for field in ("noise_share", "grey_share"):
            require(getattr(self, field) <= 1, f"hparams.{field}", getattr(self, field), "0 to 1")


@dataclasses.dataclass(frozen=True)
class RestorationRecipe:
    """All settings of a restorer's run."""

    data: OmitArgPrefixes[DataConfig] = DataConfig()
    restoration: OmitArgPrefixes[RestorationConfig] = RestorationConfig()
    hparams: RestorationHparams = RestorationHparams()
    train: OmitArgPrefixes[TrainConfig] = TrainConfig(steps=6_000)
    validation: str | None = None
    """Test images for the final table, in the form of --dataset; None: the split "test", or one image in twenty."""

    first = (
        "dataset", "image_size", "crop_size", "architecture", "damage", "hparams.lr", "steps", "minutes", "batch_size",
        "seed", "out", "resume", "initial_weights",
    )  # fmt: skip
    """The flags that `--help` shows; `--help-all` shows all."""
