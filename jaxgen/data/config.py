"""Where images come from: the part of a configuration that every training has."""

import dataclasses

from jaxgen.errors import require


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
