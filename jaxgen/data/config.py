"""The part of a configuration that names the training images; every training has it."""

import dataclasses

from jaxgen.errors import require

FEWEST = 20
"""The fewest canaries that show anything."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which images are used, and how they are cut to size."""

    dataset: str = "mnist"
    """A TFDS name (mnist, fashion_mnist, cifar10, ...), folder:PATH, npz:FILE (or .npy), or digits (5,000 bundled);
    for volumes npz:FILE (or .npy), folder:PATH or volumes_of_digits."""
    data_dir: str | None = None
    """Folder with TFDS data sets; TFDS_DATA_DIR and TFDS's default folder are searched too."""
    split: str = "train"
    """Split of a TFDS data set, or of an archive with train_images, val_images and test_images."""
    image_size: int | None = None
    """Height and width in pixels after centre crop and resize; None: that of the data set."""
    volume_size: int | None = None
    """Depth, height and width of volumes, which are reduced to them by block means; None: images, not volumes."""
    channels: int | None = None
    """1 (grey) or 3 (RGB); None: what the data set has."""
    crop_size: int | None = None
    """Height and width in pixels of random crops, drawn anew in each epoch; only for folder:PATH."""
    flip: bool = False
    """Mirror half of the images left to right, and rotate crops by multiples of 90 degrees; refused for digits."""
    window: tuple[float, float] | None = None
    """Values LOW HIGH of volume files that become black and white; None: 0 255 for bytes, 0 1 for floats in that range,
    else the least and the greatest."""
    time: int | None = None
    """Index, from 0, of the time point to take from volume files that hold several."""
    canaries: int = 0
    """Number of canaries: training images of which about half, drawn at random, are left out, so that `jaxgen audit`
    can measure how much the model reveals about its training images."""

    def __post_init__(self) -> None:
        require(self.image_size is None or self.image_size >= 1, "image_size", self.image_size, "1 or more")
        require(self.volume_size is None or self.volume_size >= 1, "volume_size", self.volume_size, "1 or more")
        flat = self.volume_size is None or (self.image_size, self.crop_size) == (None, None)
        require(flat, "volume_size", self.volume_size, "none with image_size or crop_size")
        require(self.channels in (None, 1, 3), "channels", self.channels, "1, 3 or None")
        require(self.crop_size is None or self.crop_size >= 8, "crop_size", self.crop_size, "8 or more, or None")
        require(self.crop_size is None or self.image_size is None, "crop_size", self.crop_size, "none with image_size")
        local = "://" not in (self.data_dir or "")
        require(local, "data_dir", self.data_dir, "a folder; a bucket can be mounted as one (TPU_SETUP.md)")
        of_files = self.volume_size is not None and self.dataset.startswith("folder:")
        require(self.window is None or of_files, "window", self.window, "None unless a folder: of volumes is read")
        require(self.time is None or of_files, "time", self.time, "None unless a folder: of volumes is read")
        require(self.canaries == 0 or self.canaries >= FEWEST, "canaries", self.canaries, f"0, or {FEWEST} or more")
