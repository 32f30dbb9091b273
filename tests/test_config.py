"""Configurations: JSON round trips, and refusals that name field, value and what is accepted."""

import dataclasses
import json
import typing
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.config_json import from_dict, load_config, save_config, to_dict
from jaxgen.data.config import DataConfig
from jaxgen.errors import InputError
from jaxgen.tasks.gan.config import GanConfig, GanHparams
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams
from jaxgen.training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All of them in one, as a recipe has it; one behind an annotation, as command lines need it."""

    data: Annotated[DataConfig, "flat"] = DataConfig()
    gan: GanConfig = GanConfig()
    hparams: GanHparams = GanHparams()
    restoration: RestorationConfig = RestorationConfig()
    restoring: RestorationHparams = RestorationHparams()
    train: TrainConfig = TrainConfig()


def literals(field: str, cls: type = GanConfig) -> tuple[str, ...]:
    """Accepted names of a field of a configuration, also of a tuple's items."""
    args = typing.get_args(typing.get_type_hints(cls)[field])
    return typing.get_args(args[0]) if typing.get_origin(args[0]) is typing.Literal else args


def subsets(field: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(literals(field)), unique=True).map(tuple)


COUNTS = st.integers(1, 10**6)
NUMBERS = st.floats(0.0, 1e9)
DECAYS = st.floats(0.0, 1.0, exclude_max=True)
FRACTIONS = st.floats(1e-6, 1e9)
DATA = st.builds(
    DataConfig,
    dataset=st.text(),
    data_dir=st.none() | st.text(),
    split=st.text(),
    image_size=st.none() | COUNTS,
    channels=st.sampled_from([None, 1, 3]),
    flip=st.booleans(),
) | st.builds(DataConfig, crop_size=st.integers(8, 10**6))
GAN = st.builds(
    GanConfig,
    latent_dim=COUNTS,
    base_channels=COUNTS,
    penalty_interval=COUNTS,
    discriminator_updates=COUNTS,
    penalties=subsets("penalties"),
    augment=subsets("augment"),
    **{name: st.sampled_from(literals(name)) for name in ("architecture", "loss", "optimizer", "dtype")},
)
HPARAMS = st.builds(
    GanHparams,
    schedule_images=st.none() | FRACTIONS,
    **{f.name: NUMBERS for f in dataclasses.fields(GanHparams) if f.name[0] != "b" and f.name != "schedule_images"},
    **dict.fromkeys(("b1", "b2", "b2_final"), DECAYS),
)
RESTORATION = st.builds(
    RestorationConfig,
    widths=st.lists(COUNTS, min_size=1).map(tuple),
    keep_known=st.booleans(),
    schedule=st.text(),
    damage=st.text(),
    **dict.fromkeys(("blocks", "depth", "iterations"), COUNTS),
    **{n: st.sampled_from(literals(n, RestorationConfig)) for n in ("architecture", "loss", "optimizer", "dtype")},
)
RESTORING = st.builds(
    RestorationHparams,
    schedule_images=st.none() | FRACTIONS,
    **dict.fromkeys(("lr", "lr_final", "ema_half_life"), NUMBERS),
    **dict.fromkeys(("b1", "b2"), DECAYS),
    **dict.fromkeys(("noise_share", "grey_share"), st.floats(0.0, 1.0)),
)
TRAIN = st.builds(
    TrainConfig,
    minutes=st.none() | FRACTIONS,
    seed=st.integers(0, 2**32 - 1),
    out=st.text(),
    resume=st.none() | st.text(),
    steps_per_dispatch=st.none() | COUNTS,
    devices=st.none() | COUNTS,
    shard=COUNTS,
    **dict.fromkeys(("steps", "batch_size", "log_every", "sample_every", "checkpoint_every"), COUNTS),
) | st.builds(
    TrainConfig,
    parallel=st.sampled_from(literals("parallel", TrainConfig)),
    batch_size=COUNTS.map(lambda half: 2 * half),
    accumulate=st.sampled_from([1, 2]),
    coordinator=st.sampled_from(["host:1", "10.0.0.1:8476", "[::1]:80"]),
    num_processes=st.integers(3, 9),
    process_id=st.integers(0, 2),
)
RECIPES = st.builds(
    Recipe, data=DATA, gan=GAN, hparams=HPARAMS, restoration=RESTORATION, restoring=RESTORING, train=TRAIN
)


# the type checker of the tests draws the tuple items that it looks at
type_checks_draw = pytest.mark.filterwarnings("ignore:Do not use the `random` module")


@type_checks_draw
@settings(max_examples=60, deadline=None)
@given(RECIPES)
def test_json_round_trip(recipe: Recipe) -> None:
    back = from_dict(Recipe, json.loads(json.dumps(to_dict(recipe))))
    assert back == recipe
    assert back.gan.penalties == recipe.gan.penalties  # a tuple again, not a list
    assert back.restoration.widths == recipe.restoration.widths
    assert hash((back.gan, back.restoration)) == hash((recipe.gan, recipe.restoration))


@type_checks_draw
@settings(max_examples=10, deadline=None)
@given(RECIPES)
def test_file_round_trip(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> None:
    path = tmp_path_factory.mktemp("config") / "config.json"
    save_config(recipe, path)
    assert load_config(Recipe, path) == recipe


def test_absent_fields_keep_their_defaults_and_integers_become_floats() -> None:
    recipe = from_dict(Recipe, {"hparams": {"lr": 1, "schedule_images": 7}, "train": {"steps": 5}})
    assert recipe == Recipe(hparams=GanHparams(lr=1.0, schedule_images=7.0), train=TrainConfig(steps=5))
    assert type(recipe.hparams.lr) is type(recipe.hparams.schedule_images) is float


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"hparams": {"learning_rate": 1.0}}, "hparams.learning_rate: got 1.0; accepted: fields of GanHparams: b1, "),
    ({"model": 3}, "model: got 3; accepted: fields of Recipe: data, gan, hparams, restoration, "),
    ({"hparams": {"lr": "fast"}}, "hparams.lr: got 'fast'; accepted: float"),
    ({"hparams": {"lr": True}}, "hparams.lr: got True; accepted: float"),
    ({"hparams": {"lr": None}}, "hparams.lr: got None; accepted: float"),
    ({"hparams": {"schedule_images": [1]}}, "hparams.schedule_images: got [1]; accepted: float"),
    ({"hparams": 3}, "hparams: got 3; accepted: an object with the fields of GanHparams"),
    ({"data": []}, "data: got []; accepted: an object with the fields of DataConfig"),
    ({"data": {"flip": 1}}, "data.flip: got 1; accepted: bool"),
    ({"data": {"split": 3}}, "data.split: got 3; accepted: str"),
    ({"data": {"image_size": 28.0}}, "data.image_size: got 28.0; accepted: int"),
    ({"train": {"steps": 1.5}}, "train.steps: got 1.5; accepted: int"),
    ({"train": {"steps": True}}, "train.steps: got True; accepted: int"),
    ({"gan": {"loss": "wgan"}}, "gan.loss: got 'wgan'; accepted: minimax, non_saturating, hinge, "),
    ({"gan": {"penalties": "r1"}}, "gan.penalties: got 'r1'; accepted: a list"),
    ({"gan": {"penalties": ["r1", "r3"]}}, "gan.penalties: got 'r3'; accepted: r1, r2, gp"),
    ({"gan": {"penalties": [["r1"]]}}, "gan.penalties: got ['r1']; accepted: r1, r2, gp"),
    ({"restoration": {"widths": 32}}, "restoration.widths: got 32; accepted: a list"),
    ({"restoration": {"widths": [32, "64"]}}, "restoration.widths: got '64'; accepted: int"),
    ({"restoration": {"loss": "l2"}}, "restoration.loss: got 'l2'; accepted: charbonnier, l1, mse, psnr"),
    ({"data": {"crop_size": 32.5}}, "data.crop_size: got 32.5; accepted: int"),
]


@pytest.mark.parametrize(("values", "message"), WRONG, ids=[message.split(";")[0] for _, message in WRONG])
def test_unknown_fields_and_wrong_types_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        from_dict(Recipe, values)
    assert str(caught.value).startswith(message)


NOT_ACCEPTED: list[tuple[type, dict[str, Any]]] = [
    (DataConfig, {"image_size": 0}),
    (DataConfig, {"channels": 2}),
    *((GanConfig, {name: 0}) for name in ("latent_dim", "base_channels", "penalty_interval", "discriminator_updates")),
    (GanConfig, {"penalties": ("r1", "r1")}),
    (GanConfig, {"augment": ("color", "cutout", "color")}),
    *((GanHparams, {f.name: -0.1}) for f in dataclasses.fields(GanHparams)),
    *((GanHparams, {f.name: float("nan")}) for f in dataclasses.fields(GanHparams)),
    *((GanHparams, {f.name: float("inf")}) for f in dataclasses.fields(GanHparams)),
    *((GanHparams, {name: 1.0}) for name in ("b1", "b2", "b2_final")),
    (GanHparams, {"schedule_images": 0.0}),
    *((DataConfig, {"crop_size": size}) for size in (7, 0, -8)),
    *((RestorationConfig, {name: 0}) for name in ("blocks", "depth", "iterations")),
    *((RestorationConfig, {"widths": widths}) for widths in ((), (32, 0), (-1,))),
    *((RestorationHparams, {f.name: -0.1}) for f in dataclasses.fields(RestorationHparams)),
    *((RestorationHparams, {f.name: float("nan")}) for f in dataclasses.fields(RestorationHparams)),
    *((RestorationHparams, {f.name: float("inf")}) for f in dataclasses.fields(RestorationHparams)),
    *((RestorationHparams, {name: 1.0}) for name in ("b1", "b2")),
    *((RestorationHparams, {name: 1.01}) for name in ("noise_share", "grey_share")),
    (RestorationHparams, {"schedule_images": 0.0}),
    *((TrainConfig, {name: 0}) for name in ("steps", "batch_size", "log_every", "sample_every", "checkpoint_every")),
    *((TrainConfig, {name: 0}) for name in ("steps_per_dispatch", "devices", "accumulate", "shard")),
    (TrainConfig, {"accumulate": 3}),  # no divisor of 32
    *((TrainConfig, {"coordinator": address}) for address in ("host", "host:", ":80", "a b:1", "host:port")),
    *((TrainConfig, {name: 1}) for name in ("num_processes", "process_id")),  # without a coordinator
    (TrainConfig, {"minutes": 0.0}),
    (TrainConfig, {"seed": -1}),
    (TrainConfig, {"seed": 2**32}),
]


@pytest.mark.parametrize(("cls", "values"), NOT_ACCEPTED, ids=str)
def test_values_out_of_range_are_named_with_what_is_accepted(cls: type, values: dict[str, Any]) -> None:
    ((field, value),) = values.items()
    prefix = "hparams." if cls in (GanHparams, RestorationHparams) else ""
    with pytest.raises(InputError) as caught:
        cls(**values)
    start = f"{prefix}{field}: got {value!r}; accepted: "
    assert str(caught.value).startswith(start)
    assert len(str(caught.value)) > len(start)


@pytest.mark.parametrize(
    ("cls", "values"),
    [
        (DataConfig, {"image_size": 1, "channels": 3}),
        (DataConfig, {"crop_size": 8, "channels": 1, "flip": True}),
        (RestorationConfig, {"widths": (1,), "blocks": 1, "depth": 1, "iterations": 1}),
        (RestorationHparams, {"lr": 0.0, "b1": 0.0, "noise_share": 1.0, "grey_share": 1.0, "b2": 0.9999}),
        (GanHparams, {"lr": 0.0, "b1": 0.0, "ema_half_life": 0.0, "b2": 0.9999}),
        (TrainConfig, {"steps": 1, "batch_size": 1, "seed": 2**32 - 1, "minutes": 0.01}),
    ],
)
def test_values_at_the_edge_are_accepted(cls: type, values: dict[str, Any]) -> None:
    assert {name: getattr(cls(**values), name) for name in values} == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "num_processes: got None; accepted: 1 or more"),
        ({"num_processes": 2}, "process_id: got None; accepted: 0 to 1"),
        ({"num_processes": 2, "process_id": 2}, "process_id: got 2; accepted: 0 to 1"),
        ({"num_processes": 0, "process_id": 0}, "num_processes: got 0; accepted: 1 or more"),
    ],
)
def test_a_coordinator_needs_to_be_told_who_is_who(values: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainConfig(coordinator="host:1", **values)


def test_pmap_copies_the_state() -> None:
    with pytest.raises(InputError, match="shard: got 2; accepted: 1 with pmap"):
        TrainConfig(parallel="pmap", shard=2)


def test_pieces_are_cut_from_images_of_their_own_size() -> None:
    with pytest.raises(InputError, match="crop_size: got 32; accepted: none with image_size"):
        DataConfig(crop_size=32, image_size=64)


def test_input_error_is_a_value_error() -> None:
    assert issubclass(InputError, ValueError)


def test_a_config_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().steps = 3  # type: ignore[misc]


def test_files_that_are_not_there_or_not_json_are_named(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with pytest.raises(InputError, match=r"config\.json: no such file"):
        load_config(Recipe, path)
    path.write_text("{")
    with pytest.raises(InputError, match=r"config\.json: is not JSON"):
        load_config(Recipe, path)


def unchecked(cls: Any = GanConfig, **values: Any) -> Any:
    """A configuration as it is made where no type checker runs, before it checks itself."""
    made = object.__new__(cls)
    for field in dataclasses.fields(cls):
        object.__setattr__(made, field.name, values.get(field.name, field.default))
    return made


CHOICES = [(GanConfig, name) for name in ("architecture", "loss", "conditioning", "optimizer", "dtype")]
CHOICES += [(TrainConfig, "parallel")]
CHOICES += [(RestorationConfig, name) for name in ("architecture", "loss", "optimizer", "dtype")]


@pytest.mark.parametrize(("cls", "field"), CHOICES)
def test_choices_are_checked_in_python_too(cls, field):
    with pytest.raises(InputError, match=f"{field}: got 'other'; accepted: "):
        unchecked(cls, **{field: "other"}).__post_init__()


def test_choices_of_several_are_checked_in_python_too():
    with pytest.raises(InputError, match=r"penalties: got \('r3',\); accepted: some of r1, r2, gp"):
        unchecked(penalties=("r3",)).__post_init__()
    unchecked().__post_init__()


def test_a_list_is_no_configuration(tmp_path):
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(InputError, match=r"config\.json: holds no object; accepted: a JSON object"):
        load_config(TrainConfig, tmp_path / "config.json")
