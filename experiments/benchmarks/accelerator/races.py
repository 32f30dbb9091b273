"""The races: train steps, restoration and populations, each a list of cases that give rows of a table."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax

from experiments.benchmarks import cases, common, flops, population, restore, torch_setup, train_step
from experiments.benchmarks.accelerator.agreement import Case, shrink
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanRecipe
from jaxgen.tasks.restoration.algorithm import make_restoration
from jaxgen.tasks.restoration.config import RestorationConfig
from jaxgen.training import parallel
from jaxgen.training.population import candidate_names

Rows = list[dict[str, Any]]
DTYPES = ("float32", "bfloat16")
REPEATS, STEPS = 5, 20
GANS = {28: ("gan_mnist", 256), 64: ("gan_64", 256), 128: ("gan_128", 128)}
"""Case and batch by size in pixels."""
MEMBERS, MEMBER_BATCH = (8, 32), 32
RESTORER_BATCH, PHOTO = 64, 1024
"""Crops in a batch, and the size in pixels of an image to restore."""


def _rounds(small: bool) -> tuple[int, int]:
    return (2, 1) if small else (REPEATS, STEPS)


def per_dispatch(small: bool) -> int:
    """Returns the steps in one compiled call: those of the training loop."""
    return 2 if small else parallel.STEPS_PER_DISPATCH[jax.default_backend()]


def measure(
    case: str, makers: Sequence[train_step.Maker], rounds: tuple[int, int], make_rows: Callable[..., Rows]
) -> Rows:
    """Races candidates; returns their rows, with the case before each label, and those that do not work last."""
    candidates, failures = common.usable_candidates(makers)
    rows = make_rows(common.race(candidates, *rounds)) if candidates else []
    rows += [{"label": label, "does_not_work": reason} for label, reason in failures]
    return [{**row, "label": f"{case}: {row['label']}"} for row in rows]


def with_flops(case: str, dtype: str, makers: list, batch_size: int, num_flops: float, rounds: tuple[int, int]) -> Rows:
    """Returns rows of train steps, with their share of the rate of matrix products in the same rounds."""
    highest, highest_flops = flops.ceiling(dtype)

    def make_rows(timings: dict[str, common.Timing]) -> Rows:
        top = timings.pop(flops.CEILING)
        rows = train_step.make_rows(timings, batch_size)
        return [row | flops.achieved(row["seconds_per_step"], num_flops, top, highest_flops) for row in rows]

    return measure(case, [*makers, (flops.CEILING, lambda: highest)], rounds, make_rows)


def gan_recipe(size: int, dtype: str, small: bool) -> GanRecipe:
    """Returns the recipe of a size, with its batch."""
    name, batch_size = GANS[size]
    recipe = cases.recipe_of(name, 2 if small else batch_size, dtype)
    return dataclasses.replace(recipe, gan=shrink(recipe.gan)) if small else recipe


def gan_steps(size: int, dtype: str, small: bool, compiled: bool) -> Rows:
    """Returns rows of a GAN's train step, beside PyTorch: eager, or compiled and its fastest eager mode."""
    recipe, pixels = gan_recipe(size, dtype, small), min(size, 32) if small else size
    images = common.pictures(recipe.train.batch_size, pixels, cases.SHAPES[GANS[size][0]][2])
    devices, k = parallel.make_mesh(len(images)).size, per_dispatch(small)
    makers = []
    for steps in (k, 1) if size == 28 and not compiled and not small else (k,):
        label = train_step.row_label(devices, steps)
        makers.append((label, partial(train_step.jaxgen_step, label, recipe, images, devices, steps)))
    if torch_setup.usable():
        from experiments.benchmarks.torch_gan import Mode

        eager = [Mode(layout, one_pass) for layout in (False, True) for one_pass in (False, True)]
        # torch.compile cannot compile two derivatives but by torch.func
        modes = [Mode(True, True, "step"), Mode(True, True)] if compiled else eager
        makers += train_step.torch_modes(recipe, images, modes)
    algorithm = make_gan(recipe.gan, images.shape[1:], len(images))
    num_flops = flops.step_flops(algorithm, dataclasses.asdict(recipe.hparams), images.shape[1:])
    case = f"{size} px, {dtype}"
    return with_flops(case, dtype, makers, len(images), num_flops, _rounds(small))


def gan_cases(size: int, small: bool) -> list[Case]:
    """Returns a case for each dtype, of eager PyTorch."""
    return [(f"{size} px, {dtype}", partial(gan_steps, size, dtype, small, False)) for dtype in DTYPES]


def structure_of(colour: str, dtype: str, small: bool) -> RestorationConfig:
    """Returns the structure of the restorer of photographs; its optimizer is Adam."""
    structure = dataclasses.replace(restore.INVERSE[colour], dtype=dtype)
    return shrink(structure) if small else structure


def restorer_steps(colour: str, dtype: str, small: bool, compiled: bool) -> Rows:
    """Returns rows of a restorer's train step, beside PyTorch: eager, and compiled if asked for."""
    structure, channels = structure_of(colour, dtype, small), restore.COLOURS[colour]
    images = common.pictures(2 if small else RESTORER_BATCH, 16 if small else restore.CROP, channels)
    k, devices = per_dispatch(small), parallel.make_mesh(len(images)).size
    label, algorithm = train_step.row_label(devices, k), make_restoration(structure, images.shape[1:], len(images))
    makers = [(label, partial(restore.jaxgen_step, label, algorithm, images, devices, k))]
    numbers = restore.hparams(len(images))
    if torch_setup.usable():
        from experiments.benchmarks.torch_restoration import step_candidates

        params = restore.initial_params(structure, channels)
        makers += step_candidates(structure, numbers, params, images, torch_setup.device(), compiled)
    num_flops = flops.step_flops(algorithm, numbers, images.shape[1:])
    return with_flops(f"{colour}, {dtype}", dtype, makers, len(images), num_flops, _rounds(small))


def restorer_cases(small: bool) -> list[Case]:
    """Returns a case for each kind of photographs and dtype, of eager PyTorch."""
    kinds = [(colour, dtype) for dtype in DTYPES for colour in restore.COLOURS]
    return [(", ".join(kind), partial(restorer_steps, *kind, small, False)) for kind in kinds]


def compiled_cases(small: bool) -> list[Case]:
    """Returns the cases of `torch.compile`, which takes long; none if PyTorch is not measured."""
    if not torch_setup.usable():
        return []
    gans = [(28, "float32"), (28, "bfloat16"), (64, "bfloat16"), (64, "float32"), (128, "bfloat16"), (128, "float32")]
    found = [(f"{size} px, {dtype}", partial(gan_steps, size, dtype, small, True)) for size, dtype in gans]
    kinds = [(colour, dtype) for dtype in DTYPES for colour in restore.COLOURS]
    restorers = [(", ".join(kind), partial(restorer_steps, *kind, small, True)) for kind in kinds]
    return [*found[:2], *restorers, *found[2:]]


def restoration(dtype: str, small: bool) -> Rows:
    """Returns rows of the restoration of one image at a time, from host memory to host memory."""
    size = 32 if small else PHOTO
    structures = {colour: structure_of(colour, dtype, small) for colour in restore.COLOURS}
    images = {colour: common.pictures(1, size, channels) for colour, channels in restore.COLOURS.items()}
    params = {colour: restore.initial_params(structures[colour], num) for colour, num in restore.COLOURS.items()}
    makers = []
    for c in restore.COLOURS:
        label = f"jaxgen InverseNetwork, {c}"
        makers.append((label, partial(restore.whole_image, label, structures[c], params[c], images[c])))
    if torch_setup.usable():
        from experiments.benchmarks.torch_restoration import inference_candidates

        makers += inference_candidates(structures, params, images, torch_setup.device())
    make_rows = partial(restore.inference_rows, height=size, width=size)
    return measure(f"{size} x {size}, {dtype}", makers, _rounds(small), make_rows)


def restoration_cases(small: bool) -> list[Case]:
    """Returns a case for each dtype."""
    return [(dtype, partial(restoration, dtype, small)) for dtype in DTYPES]


def members(num: int, small: bool) -> Rows:
    """Returns rows of a population in each layout, and of its members one after another."""
    recipe = cases.recipe_of("gan_mnist", 2 if small else MEMBER_BATCH)
    recipe = dataclasses.replace(recipe, gan=shrink(recipe.gan)) if small else recipe
    images = common.pictures(recipe.train.batch_size, *cases.SHAPES["gan_mnist"][1:])
    modes = ["map", "vmap"] if small else candidate_names(num)
    rows, _ = population.race_layouts(recipe, images, num, modes, per_dispatch(small), _rounds(small)[0])
    return [{**row, "label": f"{num} members: {row['label']}"} for row in rows]


def population_cases(small: bool) -> list[Case]:
    """Returns a case for each number of members."""
    return [(f"{num} members", partial(members, num, small)) for num in ((2,) if small else MEMBERS)]
