"""The everyday suite: what its pictures hold, its table, and the command."""

import io
import json
import math

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from jaxgen.tasks.restoration.evaluation import evaluate, everyday
from jaxgen.tasks.restoration.evaluation.everyday import GROUPS, everyday_cases, middle
from jaxgen.tasks.restoration.evaluation.everyday_table import evaluate_everyday, format_everyday, save_everyday
from jaxgen.tasks.restoration.pixels import Models
from tests.command_line import call
from tests.stand_ins import restorer_of


def photo(seed: int) -> np.ndarray:
    """A smooth picture with edges, in colour."""
    y, x = np.mgrid[:256, :256] / 255.0
    waves = [np.sin(2 * np.pi * ((seed + 2) * x + (c + 1) * y)) for c in range(3)]
    values = 120 + 60 * np.stack(waves, axis=-1) + 30 * (x + y > 0.9)[..., None]
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def flat(level: int) -> np.ndarray:
    return np.full((256, 256, 3), level, np.uint8)


def cases_of(photos, seed=0):
    """Cases by group, in order; the drawings come without a photograph."""
    found = {}
    for case in everyday_cases(photos, seed):
        found.setdefault(case.group, []).append(case)
    return found


PHOTOS = {"a.png": photo(0), "b/c.png": photo(1)}
CASES = cases_of(PHOTOS)
FLAT = {group: cases[0] for group, cases in cases_of({"flat": flat(128)}).items()}


def error(case) -> np.ndarray:
    return case.degraded.astype(float) - case.reference


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 99.0 if np.array_equal(a, b) else peak_signal_noise_ratio(b, a, data_range=255)


def phi(x: float) -> float:
    """The normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def test_there_are_ten_drawings_and_a_case_of_each_group_for_each_photograph():
    drawings, *others = CASES.values()
    assert list(CASES) == ["graphics", *(group.name for group in GROUPS)]
    assert len(drawings) == 10
    assert all([case.picture for case in cases] == list(PHOTOS) for cases in others)
    for case in (case for cases in CASES.values() for case in cases):
        assert case.degraded.shape == case.reference.shape == (256, 256, 3)
        assert case.degraded.dtype == case.reference.dtype == np.uint8


def test_clean_pictures_are_their_own_reference_and_all_others_are_damaged():
    for case in (case for cases in CASES.values() for case in cases):
        assert np.array_equal(case.degraded, case.reference) == (case.kind == "kept"), case.group
    for group in ("photo", "noise_15", "jpeg_10", "salt_pepper"):
        np.testing.assert_array_equal(CASES[group][1].reference, PHOTOS["b/c.png"])


def test_each_damage_is_asked_for_by_its_name_where_it_is_repaired_only_then():
    asked = {group: cases[0].repair for group, cases in CASES.items() if cases[0].kind == "asked"}
    scratches = dict.fromkeys(("scratches_1", "scratches_2", "scratches_3", "film_lines"), ("scratches",))
    assert asked == {**scratches, "dust": ("dust",), "salt_pepper": ("salt_and_pepper",)}
    assert all(case.repair is None for cases in CASES.values() for case in cases if case.kind != "asked")


def test_the_damage_of_a_photograph_depends_on_the_seed_and_not_on_other_photographs():
    alone = cases_of({"b/c.png": PHOTOS["b/c.png"]})
    other = cases_of({"b/c.png": PHOTOS["b/c.png"]}, seed=1)
    for group, cases in alone.items():
        np.testing.assert_array_equal(cases[-1].degraded, CASES[group][-1].degraded)
    drawn = ("snow", "noise_15", "camera", "grain_grey", "noise_halved", "scratches_1", "film_lines", "dust")
    assert not any(np.array_equal(alone[group][0].degraded, other[group][0].degraded) for group in drawn)
    same = {"x": flat(128), "y": flat(128)}
    assert not np.array_equal(*(case.degraded for case in cases_of(same)["noise_15"]))


@pytest.mark.parametrize("sigma", [15, 25, 50])
def test_noise_has_the_standard_deviation_that_it_says(sigma):
    c = 127.5 / sigma  # values are clipped: the variance is E[min(z^2, c^2)] of a normal z
    density = math.exp(-(c**2) / 2) / math.sqrt(2 * math.pi)
    variance = 2 * phi(c) - 1 - 2 * c * density + 2 * c**2 * (1 - phi(c))
    found = error(FLAT[f"noise_{sigma}"])
    assert found.std() == pytest.approx(sigma * math.sqrt(variance), rel=0.01)
    assert found.mean() == pytest.approx(0, abs=0.5)
    assert abs(np.corrcoef(found[..., 0].ravel(), found[..., 1].ravel())[0, 1]) < 0.02


def test_noise_of_twice_the_size_is_made_smaller_by_the_cubic_kernel():
    """Its variance falls by the sum of the squared weights, which the kernel of a = -1/2 gives at twice its width."""
    t = np.array([0.25, 0.75, 1.25, 1.75])
    kernel = np.where(t < 1, 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * (t**3 - 5 * t**2 + 8 * t - 4))
    weights = np.concatenate([kernel, kernel]) / (2 * kernel.sum())
    assert error(FLAT["noise_halved"]).std() == pytest.approx(30 * (weights @ weights), rel=0.01)


def test_noise_and_then_jpeg():
    """To save it again changes nothing at the same quality alone: then all coefficients are whole steps."""
    image, changes = Image.fromarray(FLAT["noise_jpeg"].degraded), {}
    for quality in (70, 75, 80, 85, 90):
        image.save(buffer := io.BytesIO(), "JPEG", quality=quality)
        again = np.asarray(Image.open(buffer).convert("L")).astype(float)
        changes[quality] = np.abs(again - np.asarray(image.convert("L"))).mean()
    assert min(changes, key=changes.get) == 80
    luma = np.asarray(image.convert("L")).astype(float)
    assert luma.std() == pytest.approx(15 * math.hypot(0.299, 0.587, 0.114), rel=0.1)  # that of three channels


@pytest.mark.parametrize(("group", "level", "radius"), [("fine", 12, 0.6), ("coarse", 20, 1.0), ("grey", 20, 0.7)])
def test_grain_has_its_level_and_size_and_is_the_same_in_all_channels(group, level, radius):
    case = FLAT[f"grain_{group}"]
    found = error(case)
    assert np.ptp(case.reference) == 0
    assert found[..., 0].std() == pytest.approx(level, rel=0.01)
    assert np.array_equal(found[..., 0], found[..., 1])
    assert np.array_equal(found[..., 0], found[..., 2])
    neighbours = np.corrcoef(found[:, :-1, 0].ravel(), found[:, 1:, 0].ravel())[0, 1]
    weights = np.exp(-(np.arange(-4, 5) ** 2) / (2 * radius**2))
    assert neighbours == pytest.approx((weights[1:] @ weights[:-1]) / (weights @ weights), abs=0.02)


def test_a_camera_counts_photons_in_linear_light():
    """Where a pixel of the sensor is red, red is that one count: Poisson, with a Gaussian of 2 photons, then gamma."""
    level, photons = 200, 200
    case = cases_of({"flat": flat(level)})["camera"][0]
    light = photons * (level / 255) ** 2.2
    slope = 255 / 2.2 * (light / photons) ** (1 / 2.2 - 1) / photons
    assert error(case)[::2, ::2, 0].std() == pytest.approx(slope * math.sqrt(light + 4), rel=0.03)
    between = error(case)[::2, 1:-1:2, 0].std()  # the mean of two counts
    assert between == pytest.approx(slope * math.sqrt((light + 4) / 2), rel=0.03)
    dark = cases_of({"flat": flat(level)})["camera_dark"][0]
    assert np.all(dark.reference == 80)


def test_the_sensor_mixes_no_colours():
    red = flat(0)
    red[..., 0] = 180
    found = cases_of({"red": red})["camera"][0].degraded
    assert found[..., 0].mean() == pytest.approx(180, abs=2)
    assert found[..., 1:].mean() < 40  # two photons of noise in black are much after gamma


@pytest.mark.parametrize("quality", [10, 30, 60])
def test_jpeg_is_that_of_pillow(quality):
    buffer = io.BytesIO()
    Image.fromarray(PHOTOS["a.png"]).save(buffer, "JPEG", quality=quality)
    np.testing.assert_array_equal(CASES[f"jpeg_{quality}"][0].degraded, np.asarray(Image.open(buffer)))


def test_a_clean_jpeg_keeps_all_of_its_colours():
    buffer = io.BytesIO()
    Image.fromarray(PHOTOS["a.png"]).save(buffer, "JPEG", quality=95, subsampling=0)
    np.testing.assert_array_equal(CASES["jpeg_95"][0].degraded, np.asarray(Image.open(buffer)))


def test_the_blocks_of_the_first_of_two_jpegs_do_not_lie_on_the_grid_of_the_second():
    steps = np.abs(np.diff(CASES["jpeg_twice"][0].degraded.astype(float), axis=1)).mean(axis=(0, 2))
    edges = np.array([steps[i::8][:31].mean() for i in range(8)])  # from column 8 k + i to the next
    assert edges.argmax() == 3


def test_salt_and_pepper_take_their_share_of_whole_pixels():
    found = FLAT["salt_pepper"].degraded
    assert np.array_equal(found[..., 0], found[..., 1])
    assert set(np.unique(found)) == {0, 128, 255}
    assert (found[..., 0] == 0).mean() == pytest.approx(0.15, abs=0.006)
    assert (found[..., 0] == 255).mean() == pytest.approx(0.15, abs=0.006)


@pytest.mark.parametrize(
    ("group", "colour", "largest"),
    [
        ("scratches_1", (255, 255, 255), 8 * 256),
        ("scratches_2", (40, 32, 25), 6 * 256 * 3),
        ("scratches_3", (235, 225, 205), 6 * 256 * 5),
        ("film_lines", (200, 200, 200), 8 * 256),
        ("dust", (248, 240, 225), 60 * 16),
    ],
)
def test_what_lies_on_a_picture_has_one_colour_and_leaves_the_rest_as_it_was(group, colour, largest):
    case = CASES[group][0]
    changed = np.any(case.degraded != case.reference, axis=-1)
    assert np.all(case.degraded[changed] == colour)
    assert 200 < changed.sum() <= largest


def test_film_lines_go_from_top_to_bottom():
    changed = np.any(CASES["film_lines"][0].degraded != CASES["film_lines"][0].reference, axis=-1)
    assert np.all((changed.sum(axis=1) >= 1) & (changed.sum(axis=1) <= 8))


def test_a_frame_is_a_ring_of_two_pixels():
    black = cases_of({"black": flat(0)})["thin_frame"][0].degraded
    assert (black == 255).all(axis=-1).sum() == 240**2 - 236**2
    assert np.all(black[8:10, 8:-8] == 255)


def test_the_middle_of_a_picture():
    rows = np.arange(300, dtype=np.int64)[:, None, None] * np.ones((1, 258, 1), np.int64)
    assert middle(rows).shape == (256, 256, 1)
    assert middle(rows)[0, 0, 0] == 22


def test_a_perfect_restorer_has_99_dB_and_one_that_does_nothing_gains_nothing():
    answers = {case.degraded.tobytes(): case.reference for case in everyday_cases(PHOTOS)}
    perfect, _ = evaluate_everyday("perfect", lambda pixels, repair: answers[pixels.tobytes()], PHOTOS)
    assert {score.restored for row in perfect.rows for score in row.scores} == {99.0}
    nothing, examples = evaluate_everyday("none", lambda pixels, repair: pixels, PHOTOS)
    assert {score.gain for row in nothing.rows for score in row.scores} == {0.0}
    assert {score.restored for row in nothing.rows if row.kind == "kept" for score in row.scores} == {99.0}
    for row, example in zip(nothing.rows, examples, strict=True):
        case = CASES[row.group][0]
        assert row.scores[0].given == pytest.approx(psnr(case.degraded, case.reference), abs=1e-9)
        np.testing.assert_array_equal(example.degraded, case.degraded)


@pytest.fixture
def few(monkeypatch):
    """One group of each kind."""
    monkeypatch.setattr(
        everyday, "GROUPS", tuple(group for group in GROUPS if group.name in ("photo", "noise_25", "dust"))
    )


def spoils_one(pixels: np.ndarray, repair) -> np.ndarray:
    """Darkens what is like the second photograph by 4, and repairs dust when asked for."""
    if repair == ("dust",):
        return np.asarray(Image.fromarray(PHOTOS["a.png"]).convert("L").convert("RGB"))
    return pixels - np.uint8(4) if np.abs(pixels.astype(float) - PHOTOS["b/c.png"]).mean() < 1 else pixels


def test_the_table_has_the_worst_picture_and_begins_with_the_harm(few, tmp_path):
    table, examples = evaluate_everyday("spoils", spoils_one, PHOTOS)
    assert [row.group for row in table.rows] == ["graphics", "photo", "noise_25", "dust"]
    worst = 10 * math.log10(255**2 / 4**2)
    assert [score.restored for score in table.rows[1].scores] == pytest.approx([99.0, worst])
    np.testing.assert_array_equal(examples[1].degraded, PHOTOS["b/c.png"])
    np.testing.assert_array_equal(examples[2].clean, PHOTOS["a.png"])
    save_everyday(tmp_path / "table.json", table)
    record = json.loads((tmp_path / "table.json").read_text())
    assert record["num_photos"] == 2
    graphics, kept, noise, dust = record["rows"]
    assert len(graphics["scores"]) == 10
    assert kept["worst_restored"] == {"db": pytest.approx(worst), "picture": "b/c.png"}
    assert kept["restored"] == pytest.approx((99 + worst) / 2)
    assert noise["given"] == pytest.approx(np.mean([score["given"] for score in noise["scores"]]))
    assert noise["gain"] == 0
    assert dust["repair"] == ["dust"]
    assert dust["worst_gain"]["db"] == min(score["restored"] - score["given"] for score in dust["scores"])
    text = format_everyday(table)
    places = [text.index(word) for word in ("\ngraphics ", "\nphoto ", "\nnoise_25 ", "\ndust ")]
    assert places == sorted(places)
    assert text.splitlines()[4].split() == [
        "photo", "as", "it", "is", f"{(99 + worst) / 2:.2f}", f"{worst:.2f}", "b/c.png",
    ]  # fmt: skip
    assert "asked for dust" in text


@pytest.fixture
def folder(tmp_path):
    """Two photographs, one of them grey, and one that is too small."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    larger = np.random.default_rng(0).integers(0, 256, (260, 300, 3), np.uint8)
    Image.fromarray(larger).save(tmp_path / "in" / "a.png")
    Image.fromarray(larger[..., 0]).save(tmp_path / "in" / "deep" / "b.png")
    Image.fromarray(larger[:255]).save(tmp_path / "in" / "c.png")
    return tmp_path / "in"


@pytest.fixture
def darker(monkeypatch):
    """A stand-in for the restorer: 51 of 255 darker, black stays black."""
    models = Models(
        {c: restorer_of(lambda images, known: jnp.maximum(images - 0.4, -1.0), c, name="darker") for c in (1, 3)}
    )
    monkeypatch.setattr(evaluate, "photo_models", lambda model, checkpoint: models)


def test_the_command_prints_and_writes_the_table_of_a_folder(few, darker, folder, monkeypatch, capsys, tmp_path):
    out = tmp_path / "out"
    assert call(monkeypatch, "evaluate-restoration", folder, "--suite", "everyday", "--out", out) == 0
    said = capsys.readouterr()
    assert [line for line in said.err.splitlines() if "left out" in line] == [
        f"{folder / 'c.png'}: left out, has 300 x 255 pixels; needed: 256 x 256 or more"
    ]
    record = json.loads((out / "table.json").read_text())
    assert (record["restorer"], record["suite"], record["num_photos"]) == ("darker", "everyday-1", 2)
    rows = {row["group"]: row for row in record["rows"]}
    assert list(rows) == ["graphics", "photo", "noise_25", "dust"]
    assert [score["picture"] for score in rows["photo"]["scores"]] == ["a.png", "deep/b.png"]
    orange = next(score for score in rows["graphics"]["scores"] if score["picture"] == "flat orange")
    expected = 10 * math.log10(255**2 / ((51**2 + 51**2 + 40**2) / 3))  # (228, 150, 40) becomes (177, 99, 0)
    assert orange["restored"] == pytest.approx(expected, abs=1e-6)
    assert f"{rows['photo']['worst_restored']['db']:.2f}" in said.out
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width > 4 * 256
        assert sheet.height > 4 * 256


def test_num_counts_photographs_that_are_large_enough(few, darker, folder, monkeypatch, tmp_path):
    Image.new("RGB", (80, 80)).save(folder / "a0.png")
    (folder / "a.png").rename(folder / "a1.png")
    flags = ("--suite", "everyday", "--num", 1, "--out", tmp_path)
    assert call(monkeypatch, "evaluate-restoration", folder, *flags) == 0
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert [score["picture"] for score in rows[1]["scores"]] == ["a1.png"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--suite", "every"], ["suite", "'every'", "standard, everyday, super-resolution"]),
        (["--suite", "everyday", "--seed", "-1"], ["seed", "-1", "0 or more"]),
        (["--suite", "everyday"], ["folder", "256 x 256"]),
    ],
)
def test_bad_input_gets_one_line(flags, words, monkeypatch, capsys, tmp_path):
    Image.new("RGB", (300, 200)).save(tmp_path / "small.png")
    assert call(monkeypatch, "evaluate-restoration", tmp_path, *flags) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert all(word in error for word in words)
