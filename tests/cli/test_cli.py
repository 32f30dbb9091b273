"""The command line as a newcomer meets it: help, names, completion, the list of runs."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from jaxgen.cli import commands, recipes
from jaxgen.cli.completion import completion, recipe_flags
from jaxgen.errors import InputError
from jaxgen.runs import listing
from jaxgen.tasks.gan.config import GanRecipe
from jaxgen.tasks.restoration.config import RestorationRecipe


@pytest.fixture(autouse=True)
def same_handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def call(capsys, *args):
    code = 0
    try:
        commands.main([*map(str, args)])
    except SystemExit as end:
        code = end.code or 0
    return code, *capsys.readouterr()


def test_help_and_completion_import_nothing_heavy():
    code = """
import sys
from jaxgen.cli import main
for args in (["--help"], ["train"], ["scan", "--help"], ["--print-completion", "zsh"], ["runs", "--help"],
             ["sample", "--help"], ["restore", "--help"], ["evaluate", "--help"], ["doctor", "--help"]):
    try:
        main(args)
    except SystemExit as end:
        assert not end.code, args
print(sorted({"jax", "flax", "tensorflow", "experiments", "matplotlib"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_has_help_with_examples(name, capsys):
    code, out, _ = call(capsys, name, "--help")
    assert code == 0
    assert "examples:" in out
    assert f"jaxgen {name}" in out


def test_help_lists_commands_and_recipes(capsys):
    assert all(name in call(capsys)[1] for name in ("train", "scan", "evaluate-restoration", "runs", "doctor"))
    text = call(capsys, "train", "--help")[1]
    assert "A DCGAN-like pair on MNIST digits" in text
    assert "scan_gan_mnist" not in text
    assert "scan_gan_mnist" in call(capsys, "scan")[1]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["trian"], ["'trian'", "train"]),
        (["train", "gan_mnits"], ["'gan_mnits'", "gan_mnist"]),
        (["scan", "gan_mnist"], ["'gan_mnist'", "scan_gan_mnist"]),
        (["train", "--steps", "3"], ["no name", "gan_mnist"]),
        (["--verbose"], ["--verbose", "--help"]),
        (["sample", "nowhere"], ["run:", "'nowhere'"]),
        (["sample", "x", "--nonsense"], ["--nonsense", "jaxgen sample --help"]),
        (["evaluate"], ["--samples", "one of the two"]),
        (["runs", "/nowhere"], ["/nowhere", "a folder"]),
        (["runs", "compare", "a"], ["first", "'a'", "run folder"]),
        (["--print-completion", "ksh"], ["'ksh'", "bash, zsh, fish"]),
    ],
)
def test_what_is_not_known_gets_one_line(args, words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, out, error = call(capsys, *args)
    assert code == 2
    assert out == ""
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert all(word in error for word in words), error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_mentions_commands_names_and_flags(shell, capsys):
    code, text, _ = call(capsys, "--print-completion", shell)
    assert code == 0
    for word in (*commands.COMMANDS, "gan_mnist", "scan_inverse_mnist", "inverse", "hparams.lr", "checkpoint", "steps"):
        assert word in text


def test_completion_knows_every_flag_of_a_recipe():
    def flags(cls, prefix=""):
        for field in dataclasses.fields(cls):
            if dataclasses.is_dataclass(field.default):
                yield from flags(type(field.default), "hparams." if field.name == "hparams" else "")
            else:
                yield f"{prefix}{field.name}".replace("_", "-")

    assert set(recipe_flags()) == {*flags(GanRecipe), *flags(RestorationRecipe)}


def test_bash_completes():
    if shutil.which("bash") is None:
        pytest.skip("no bash")
    script = completion("bash", "jaxgen", {"draw": draw, "fit": draw}, {"fit": ["one", "other"]})
    asked = 'COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _jaxgen_completion; echo "${COMPREPLY[*]}"'

    def complete(*words):
        done = subprocess.run(["bash", "-c", f"{script}\n{asked}", "-", *words], capture_output=True, text=True)
        assert done.stderr == ""
        return done.stdout.split()

    assert complete("jaxgen", "d") == ["draw"]
    assert complete("jaxgen", "draw", "--n") == ["--num"]
    assert complete("jaxgen", "fit", "o") == ["one", "other"]
    assert complete("jaxgen", "draw", "") == []
    assert "--hparams.lr" in complete("jaxgen", "fit", "one", "--h")


def draw(num: int = 3) -> None:
    """Draws."""


def test_the_recipes_of_the_folder_are_all_known():
    assert {"gan_mnist", "mnist_classifier", "scan_gan_mnist"} <= set(recipes.recipes())
    assert not {"studies", "pretraining_study", "restoration_pictures"} & set(recipes.recipes())
    named = [name for start in recipes.PRESETS.values() for name in start[:2]]
    assert set(named) | set(recipes.SCANS.values()) <= set(recipes.recipes())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--dataset", "folder:x"], (64, "resnet")),
        (["--dataset=folder:x", "--image-size", "32"], (32, "dcgan")),
        (["--image-size=48"], (48, "resnet")),
        (["--dataset", "digits"], (None, "dcgan")),
        (["--dataset", "folder:x", "--architecture", "mlp"], (64, "mlp")),
    ],
)
def test_a_preset_fits_the_data(flags, expected, monkeypatch):
    seen = []
    monkeypatch.setattr(recipes, "_start", lambda recipe, config, *_: seen.append((recipe, config)))
    recipes.train(["gan", *flags])
    ((recipe, config),) = seen
    assert recipe == "gan"
    assert (config.data.image_size, config.gan.architecture) == expected


def test_a_restorer_of_a_folder_learns_from_crops_unless_a_size_is_given(monkeypatch):
    seen = []
    monkeypatch.setattr(recipes, "_start", lambda recipe, config, *_: seen.append(config.data))
    recipes.train(["inverse", "--dataset", "folder:x"])
    recipes.train(["inverse", "--dataset", "folder:x", "--image-size", "32"])
    recipes.train(["inverse"])
    assert [(data.dataset, data.crop_size, data.image_size) for data in seen] == [
        ("folder:x", 64, None),
        ("folder:x", None, 32),
        ("mnist", None, None),
    ]


def test_a_recipe_is_called_with_what_was_typed(monkeypatch):
    seen = []
    monkeypatch.setattr(recipes, "_start", lambda recipe, config, run, command, read: seen.append((config, command)))
    before = sys.argv
    recipes.train(["gan-mnist", "--steps", "7"])
    assert sys.argv is before
    ((config, command),) = seen
    assert config.train.steps == 7
    assert command == "jaxgen train gan_mnist --steps 7"


def make_run(folder, status, steps, lr, age=0.0):
    folder.mkdir(parents=True)
    config = {"train": {"steps": 100, "seed": 0}, "hparams": {"lr": lr}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "run.json").write_text(json.dumps({"status": status, "steps": 0, "data": {"source": "digits"}}))
    rows = [{"step": steps, "images": 9, "loss/generator": 1.5}, {"step": steps, "frechet/fakes": steps / 2}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"cut sh')
    for path in folder.iterdir():
        os.utime(path, (1e9 - age, 1e9 - age))
    return folder


@pytest.fixture
def out(tmp_path):
    make_run(tmp_path / "gan" / "20260101-000001", "complete", 100, 0.1)
    make_run(tmp_path / "gan" / "20260101-000002", "stopped by SIGINT", 50, 0.2)
    make_run(tmp_path / "gan" / "20260101-000003", "running", 30, 0.2, age=30)
    make_run(tmp_path / "gan" / "20260101-000004", "running", 30, 0.2, age=3000)
    make_run(tmp_path / "gan" / "20260101-000005", "failed: no space: left", 30, 0.2)
    (make_run(tmp_path / "gan" / "20260101-000006", "complete", 1, 0.2) / "run.json").write_text("{")
    (tmp_path / "holiday" / "2025").mkdir(parents=True)
    (tmp_path / "holiday" / "2025" / "config.json").write_text('{"camera": 1}')
    return tmp_path


def test_runs_are_described_as_they_are(out):
    found = [listing.describe(folder, now=1e9) for folder in listing.find_runs(out)]
    statuses = [run.status for run in found[:5]]
    assert statuses == ["finished", "interrupted", "running", "interrupted", "failed"]
    assert found[5].status == "damaged"
    assert len(found) == 6
    assert (found[1].data, found[1].progress, found[1].metrics) == ("digits", "50/100", "frechet/fakes 25")
    assert found[2].age == pytest.approx(30)
    assert found[0].size == sum(path.stat().st_size for path in found[0].folder.iterdir())


def test_runs_command_lists_and_compares(out, capsys):
    code, text, _ = call(capsys, "runs", out)
    assert code == 0
    assert len(text.splitlines()) == 7
    assert "holiday" not in text
    code, text, _ = call(capsys, "runs", "compare", out / "gan" / "20260101-000001", out / "gan" / "20260101-000002")
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert code == 0
    assert rows["hparams.lr"] == ["0.1", "0.2"]
    assert rows["frechet/fakes"] == ["50", "25"]
    assert "train.seed" not in rows


def test_no_runs_yet(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, text, _ = call(capsys, "runs")
    assert code == 0
    assert "no runs in runs" in text


def test_a_recipes_newest_run_is_found_by_name(out, monkeypatch):
    from jaxgen.cli import using

    monkeypatch.setattr(using, "RUNS", out)
    assert using.find_trained("gan").name == "20260101-000006"
    assert using.find_trained("latest").name == "20260101-000006"
    with pytest.raises(InputError, match="one of gan"):
        using.find_trained("gun")


def test_sample_overwrites_only_when_forced(out, capsys, tmp_path):
    picture = tmp_path / "x.png"
    picture.write_bytes(b"mine")
    code, _, error = call(capsys, "sample", out / "gan" / "20260101-000001", "--out", picture)
    assert code == 2
    assert "--force" in error
    assert picture.read_bytes() == b"mine"
