"""The commands that use generative models. They import JAX only when they run, so that --help is fast."""

import sys
from pathlib import Path

import tyro

from jaxgen.cli.commands_for_models import load_for, optional_path, pretrained_or_run, set_up
from jaxgen.data.config import DataConfig
from jaxgen.errors import InputError, require


def sample(
    run: tyro.conf.Positional[str],
    num: int | None = None,
    label: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    seed: int = 0,
    seeds: str | None = None,
    latents: str | None = None,
    interpolate: int | None = None,
    truncation: float = 1.0,
    grid: str | None = None,
    out: str = "samples.png",
    checkpoint: str = "latest",
    force: bool = False,
) -> None:
    """Draws images from a generative model, trained or still in training.

    Args:
      run: run folder (OUT/RECIPE/TIMESTAMP), name of a recipe (its newest run in runs/), latest, the file
        generator.safetensors of a run, or digits, the pretrained GAN.
      num: number of images; by default 64, or one for each label, or for each place of the grid.
      label: class of a conditional model, by name or number. Repeat the flag for several classes, or list them: 3,1,4.
      seed: random seed.
      seeds: draw one image from each of these seeds, such as 1-50 or 3,8,10-12; it depends on that seed alone.
      latents: draw the images of the latents in this .npz file: `latents` (n, z), and optionally `labels` (n).
      interpolate: number of steps from each image of --seeds or --latents to the next.
      truncation: factor of the latents, 0 to 1: a smaller one gives more typical images with less variety.
      grid: rows and columns of the picture, such as 4x6.
      out: images: .png for one picture of all; FOLDER/ for a .png file of each, 00000.png and so on; .npz for the
        arrays `images` (uint8, n h w c) and `labels` (if any). Volumes: .png for a picture of slices and surfaces; .gif
        for turning surfaces; .nii.gz, .nii, .tif, .npy or .npz for the voxels; FOLDER/ for a .nii.gz file of each;
        .glb, .stl or .ply for the surfaces.
      checkpoint: latest, best (the best by the measure taken in training) or a step.
      force: overwrite an existing file, or files in an existing folder.
    """
    model = pretrained_or_run(run, use="sample")
    _require_free(out, force)
    trained, draw = load_for("sample", model, checkpoint)
    options = {"seeds": seeds, "interpolate": interpolate, "truncation": truncation, "grid": grid}
    print(draw(trained, num, seed, out, label, latents=optional_path(latents), **options))


def _require_free(out: str, force: bool) -> None:
    """Raises `InputError` if there is a file, or a folder with something in it, that is not to be overwritten."""
    path = Path(out)
    if force or not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    holds = "is a folder that is not empty" if path.is_dir() else "exists already"
    raise InputError(f"out: {out} {holds}; overwritten only with --force")


def evaluate(
    run: tyro.conf.Positional[str | None] = None,
    samples: str | None = None,
    reference: str | None = None,
    num: int = 10_000,
    checkpoint: str = "latest",
    data_dir: str | None = None,
    image_size: int | None = None,
    volume_size: int | None = None,
    channels: int | None = None,
    inception_weights: str | None = None,
    seed: int = 0,
) -> None:
    """Measures the quality of images or volumes from a generative model, a folder or a file.

    Args:
      run: as for sample.
      samples: evaluate these images instead of a run, all of one size: a folder of image files, or an .npz or .npy file
        with `images` (n h w c, uint8 or floats in [0, 1]), and optionally `labels`.
      reference: compare --samples with these real images: a folder, a file or the name of a data set (mnist,
        cifar10, ...); by default mnist. A folder or file of that name comes first.
      num: number of images; compare only results of the same number.
      checkpoint: latest, best or a step.
      data_dir: folder of the TFDS data sets; by default that of the run.
      image_size: with --samples: height and width in pixels to which the real images are resized.
      volume_size: with --samples: volumes (n d h w c) are evaluated, and the real ones get this size in voxels.
      channels: with --samples: channels of the real images, 1 (grey) or 3 (RGB).
      inception_weights: file of weights of the FID Inception network (.pth or .safetensors), to measure distances in
        its features.
      seed: random seed.
    """
    if (run is None) == (samples is None):
        raise InputError(f"run: got {run!r} and --samples {samples!r}; accepted: one of the two")
    require(num > 5, "num", num, "6 or more")
    require(0 <= seed < 2**32, "seed", seed, "0 to 4294967295")
    if run is not None:
        own = "none with a run, which is compared with its own data; it goes with --samples"
        options = {"reference": reference, "image_size": image_size, "volume_size": volume_size, "channels": channels}
        for field, value in options.items():
            require(value is None, field, value, own)
        model = pretrained_or_run(run, use="evaluate")
        trained, judge = load_for("evaluate", model, checkpoint)
        judge(trained, Path(model), num, seed, data_dir, optional_path(inception_weights))
    else:
        from jaxgen.evaluation.samples import dataset_of, evaluate_samples

        set_up()
        named = DataConfig().dataset if reference is None else dataset_of(reference)
        data = DataConfig(named, data_dir, image_size=image_size, volume_size=volume_size, channels=channels)
        evaluate_samples(Path(samples).expanduser(), data, num, seed, optional_path(inception_weights))


def project(
    run: tyro.conf.Positional[str],
    pictures: tyro.conf.Positional[tuple[str, ...]],
    label: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    steps: int = 200,
    seed: int = 0,
    out: str = "projected.png",
    checkpoint: str = "latest",
    force: bool = False,
) -> None:
    """Finds the latents whose images by a GAN are closest to given pictures.

    Args:
      run: as for sample.
      pictures: files, folders or patterns (*.png); cut to the central square and resized to the size of the GAN.
      label: with a conditional GAN: class of all pictures; repeat the flag to give one for each picture in order. By
        default the class that comes closest.
      steps: gradient steps of the search; more come closer.
      seed: random seed of the latents that the search starts from.
      out: .png of each picture beside its projection; an .npz file of the same name gets the latents.
      checkpoint: latest, best or a step.
      force: overwrite existing files.
    """
    model, picture = pretrained_or_run(run, use="project"), Path(out)
    require(picture.suffix == ".png", "out", out, "a file name that ends in .png")
    require(steps >= 1, "steps", steps, "1 or more")
    require(0 <= seed < 2**32, "seed", seed, "0 to 4294967295")
    for path in (picture, picture.with_suffix(".npz")):
        if path.exists() and not force:
            raise InputError(f"out: {path} exists already; overwritten only with --force")
    trained, find = load_for("project", model, checkpoint)
    code = find(trained, pictures, label, steps, seed, picture)
    if code:
        sys.exit(code)
