"""Configuration as frozen dataclasses that check their values; what is refused is said in one line."""

import dataclasses
import re
import typing
from typing import Any, Literal


class InputError(ValueError):
    """Something the user gave is not acceptable; the command line prints the message alone and exits with 2."""


def reject(field: str, value: Any, accepted: str) -> typing.NoReturn:
    """Raises `InputError` that names the field, the value and what is accepted."""
    raise InputError(f"{field}: got {value!r}; accepted: {accepted}")


def require(condition: bool, field: str, value: Any, accepted: str) -> None:
    """Raises `InputError` unless `condition` holds."""
    if not condition:
        reject(field, value, accepted)


def require_choices(config: Any) -> None:
    """Raises `InputError` if a field annotated with a `Literal`, or a tuple of them, holds another value."""
    for field, hint in typing.get_type_hints(type(config)).items():
        value, args = getattr(config, field), typing.get_args(hint)
        if typing.get_origin(hint) is Literal:
            require(value in args, field, value, ", ".join(map(str, args)))
        elif args and typing.get_origin(args[0]) is Literal:
            choices = typing.get_args(args[0])
            require(set(value) <= set(choices), field, value, f"some of {', '.join(choices)}")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where images come from and how they are cut to size."""

    dataset: str = "mnist"
    """A TFDS name (mnist, fashion_mnist, cifar10, ...), folder:PATH, npz:FILE, or digits (5,000 bundled)."""
    data_dir: str | None = None
    """Folder that holds TFDS data sets; also looked for in TFDS_DATA_DIR and in TFDS's default folder."""
    split: str = "train"
    """Split of a TFDS data set."""
    image_size: int | None = None
    """Height and width in pixels after centre crop and resize; None keeps the size of the data set."""
    channels: int | None = None
    """1 (grey) or 3 (RGB); None keeps what the data set has."""
    crop_size: int | None = None
    """Height and width of pieces cut at random places, anew each time; the images keep their own sizes (folder:)."""
    flip: bool = False
    """Mirror half of the images left to right, and turn crops by quarter turns; refused for data sets of digits."""

    def __post_init__(self) -> None:
        require(self.image_size is None or self.image_size >= 1, "image_size", self.image_size, "1 or more")
        require(self.channels in (None, 1, 3), "channels", self.channels, "1, 3 or None")
        require(self.crop_size is None or self.crop_size >= 8, "crop_size", self.crop_size, "8 or more, or None")
        require(self.crop_size is None or self.image_size is None, "crop_size", self.crop_size, "None with image_size")
        local = "://" not in (self.data_dir or "")
        require(local, "data_dir", self.data_dir, "a folder; a bucket can be mounted as one (TPU_SETUP.md)")


@dataclasses.dataclass(frozen=True)
class GanConfig:
    """Structure of a GAN: what decides the compiled program. Numbers are in `GanHparams`."""

    architecture: Literal["mlp", "dcgan", "resnet"] = "dcgan"
    """mlp: any size; dcgan: 28 or 32 px; resnet: squares of 8 to 256 px, a multiple of 4."""
    latent_dim: int = 64
    """Numbers of noise per image."""
    base_channels: int = 32
    """Width of the networks (mlp: the hidden layer has 32 times as many units)."""
    conditioning: Literal["none", "concat", "projection"] = "none"
    """How the discriminator is told the class: an embedding beside its input, a projection of its features, or not."""
    loss: Literal["minimax", "non_saturating", "hinge", "wasserstein", "relativistic"] = "relativistic"
    """Adversarial loss."""
    penalties: tuple[Literal["r1", "r2", "gp"], ...] = ("r1", "r2")
    """Gradient penalties: on real images, on fakes, on lines between (Wasserstein)."""
    penalty_interval: int = 1
    """Penalise every n-th step, n times as strongly."""
    discriminator_updates: int = 1
    """Discriminator updates per generator update; each takes its own real images."""
    augment: tuple[Literal["translation", "cutout", "color"], ...] = ()
    """DiffAugment on what the discriminator sees, for small data sets."""
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
    """Numbers of a GAN; traced, so that one compiled step serves every value. Schedules are cosines in images."""

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
    """Weight of R2 (the same on fakes) at the start."""
    gp: float = 10.0
    """Weight of the Wasserstein gradient penalty at the start."""
    penalty_final: float = 0.1
    """Factor on r1, r2 and gp at the end of the schedule."""
    ema_half_life: float = 20_000.0
    """Images after which the generator's moving average has forgotten half."""
    schedule_images: float | None = None
    """Images over which the schedules run; None: the whole run."""

    def __post_init__(self) -> None:
        _require_numbers(self, below_one=("b1", "b2", "b2_final"))


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
        _require_numbers(self, below_one=("b1", "b2"))
        for field in ("noise_share", "grey_share"):
            require(getattr(self, field) <= 1, f"hparams.{field}", getattr(self, field), "0 to 1")


def _require_numbers(hparams: Any, below_one: tuple[str, ...]) -> None:
    """Raises `InputError` unless all fields are finite and 0 or more, some below 1, and the schedule is not empty."""
    for f in dataclasses.fields(hparams):
        value = getattr(hparams, f.name)
        require(value is None or (value >= 0 and value < float("inf")), f"hparams.{f.name}", value, "0 or more")
    for field in below_one:
        require(getattr(hparams, field) < 1, f"hparams.{field}", getattr(hparams, field), "at least 0 and below 1")
    images = hparams.schedule_images
    require(images is None or images > 0, "hparams.schedule_images", images, "above 0, or None")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long to train, and what to leave behind."""

    steps: int = 9_000
    """Generator updates in all."""
    minutes: float | None = None
    """Stop after so many minutes of training, if that comes first."""
    batch_size: int = 32
    """Images per update, over all devices."""
    seed: int = 0
    """Decides the initial weights, the noise and the order of the data."""
    out: str = "runs"
    """Folder for runs; this one goes to OUT/RECIPE/TIMESTAMP."""
    resume: str | None = None
    """Run folder to continue, or "latest"; other flags then change that run's own configuration."""
    steps_per_dispatch: int | None = None
    """Steps in one compiled call; None: what was measured best for the backend."""
    devices: int | None = None
    """Devices to spread the batch over, of all processes; None: all, on a CPU one per core."""
    parallel: Literal["jit", "pmap"] = "jit"
    """How devices share a step: one program over a mesh, or pmap with averaged gradients (one process)."""
    accumulate: int = 1
    """Parts in which a gradient is computed one after another, for batches that outgrow the memory."""
    shard: int = 1
    """Devices among which parameters and optimizer state are cut, for networks that outgrow one device."""
    coordinator: str | None = None
    """HOST:PORT of process 0, where many processes train together; found out on Cloud TPU and under SLURM."""
    num_processes: int | None = None
    """How many processes train together, with a coordinator."""
    process_id: int | None = None
    """Which of them this one is, from 0, with a coordinator."""
    log_every: int = 100
    """Steps between lines of metrics."""
    sample_every: int = 1000
    """Steps between sample grids."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "accumulate", "shard", "log_every", "sample_every", "checkpoint_every")
        for field in counts:
            require(getattr(self, field) >= 1, field, getattr(self, field), "1 or more")
        require(self.batch_size % self.accumulate == 0, "accumulate", self.accumulate, "a divisor of batch_size")
        for field in ("steps_per_dispatch", "devices"):
            value = getattr(self, field)
            require(value is None or value >= 1, field, value, "1 or more, or None")
        require(self.minutes is None or self.minutes > 0, "minutes", self.minutes, "above 0, or None")
        require(0 <= self.seed < 2**32, "seed", self.seed, "0 to 4294967295")
        for field in ("out", "resume"):  # pathlib would make a local folder called gs: of a bucket
            value = getattr(self, field)
            require("://" not in (value or ""), field, value, "a folder; a bucket can be mounted as one (TPU_SETUP.md)")
        require_choices(self)
        require(self.parallel == "jit" or self.shard == 1, "shard", self.shard, "1 with pmap, which copies the state")
        self._require_processes()

    def _require_processes(self) -> None:
        """All three fields of a process or none."""
        if self.coordinator is None:
            for field in ("num_processes", "process_id"):
                require(getattr(self, field) is None, field, getattr(self, field), "None without a coordinator")
            return
        address = re.fullmatch(r"[^\s:]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}", self.coordinator)
        require(address is not None, "coordinator", self.coordinator, "HOST:PORT")
        num, index = self.num_processes, self.process_id
        require(num is not None and num >= 1, "num_processes", num, "1 or more, with a coordinator")
        require(index is not None and 0 <= index < num, "process_id", index, f"0 to {num - 1}, with a coordinator")
