"""The commands that use generative models. They import JAX only when they run, so that --help is fast."""

import sys
from pathlib import Path

import tyro

from jaxgen.cli.commands_for_models import load_for, optional_path, set_up, shipped_or_run
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
        generator.safetensors of a run, or digits, the GAN of the package.
      num: number of images; by default 64, or one for each label, or for each place of the grid.
      label: class of a conditional model, by name or number; again for each further class, in order. A value that is no
        class is a list of classes: 3,1,4.
      seed: random seed.
      seeds: one image for each of these seeds, such as 1-50 or 3,8,10-12; none depends on the others.
      latents: .npz file with `latents` (n, z), maybe `labels`, to draw the images of exactly these.
      interpolate: steps from each image of --seeds or --latents to the next.
      truncation: factor of the latents, 0 to 1: a smaller one gives more typical images with less variety.
      grid: rows and columns of the picture, such as 4x6.
      out: .png for one picture of all images; FOLDER/ for a .png file for each, 00000.png and so on; .npz for the
        arrays `images` (uint8, n h w c) and `labels` (if any). Of volumes .png shows slices and views and .gif turns
        them; .nii.gz, .nii, .tif and .npy hold them, as a folder does in .nii.gz files; .glb, .stl and .ply their
        surface.
      checkpoint: latest, best (lowest distance measured in training) or a step.
      force: overwrite an existing file, or those in a folder.
    """
    model = shipped_or_run(run, use="sample")
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
      samples: images to evaluate instead of a run, all of one size: a folder of image files, or an .npz or .npy file
        with `images` (n h w c, uint8 or floats in [0, 1]), maybe `labels`.
      reference: real images to compare those of --samples with: a folder, a file or the name of a data set (mnist,
        cifar10, ...); by default mnist. What exists as a folder or file is one.
      num: number of images; results are comparable only for the same number.
      checkpoint: latest, best or a step.
      data_dir: folder of the TFDS data sets; by default that of the run.
      image_size: side in pixels of the real images; only for --samples.
      volume_size: side in voxels of real volumes; then --samples holds volumes (n d h w c). Only for --samples.
      channels: 1 (grey) or 3 (RGB) for the real images; only for --samples.
      inception_weights: weights of the FID Inception network (.pth, .safetensors), to compare in its features.
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
        model = shipped_or_run(run, use="evaluate")
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
    """Finds the latents from which a GAN draws given pictures as nearly as it can.

    Args:
      run: as for sample.
      pictures: files, folders or patterns; cut to their middle square and resized to the GAN's size.
      label: class of the pictures of a conditional GAN, or again for each picture in order; by default the best.
      steps: steps of the search; more come nearer.
      seed: random seed of the starts.
      out: .png with each picture beside its projection; the latents go to an .npz file of the same name.
      checkpoint: latest, best or a step.
      force: overwrite existing files.
    """
    model, picture = shipped_or_run(run, use="project"), Path(out)
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
