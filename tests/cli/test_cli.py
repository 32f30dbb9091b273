"""The command line as a newcomer meets it: help, names, completion, the list of runs."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from jaxgen.cli import commands, names, recipes
from jaxgen.cli.completion import SHELLS
from jaxgen.errors import InputError
from jaxgen.runs import listing
from jaxgen.tasks.table import presets


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


def test_help_imports_nothing_heavy():
    code = """
import sys
from jaxgen.cli import main
for args in (["--help"], ["train"], ["scan", "--help"], ["--version"], ["runs", "--help"],
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
        (["scan", "scan_gan"], ["'scan_gan'", "scan_gan_mnist"]),
        (["train", "--steps", "3"], ["no name", "gan_mnist"]),
        (["--verbose"], ["--verbose", "--help"]),
        (["sample", "nowhere"], ["run:", "'nowhere'", "; digits\n"]),
        (["sample", "photos"], ["run:", "'photos'", "restoration", "a run of task gan or private_gan, digits\n"]),
        (["project", "digits", "nowhere.png"], ["pictures:", "'nowhere.png'"]),
        (["project", "digits", "x.png", "--out", "x.gif"], ["out:", "'x.gif'", ".png"]),
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


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """Returns a folder with the completion script of each shell."""
    folder = tmp_path_factory.mktemp("scripts")
    for shell in SHELLS:
        with (folder / shell).open("w") as file, contextlib.redirect_stdout(file):
            commands.main(["--print-completion", shell])
    return folder


BASH = r"""source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); registered=$(complete -p jaxgen)
$(sed 's/.*-F //; s/ .*//' <<< "$registered"); printf '%s\n' "${COMPREPLY[@]}"
[[ "${COMPREPLY[*]}" || "$registered" != *"-o default"* ]] || ls"""
ZSH = r"""compdef() { complete=$1; }; _describe() { shift; printf '%s\n' ${${(P)1}%%:*}; }; _files() { print -l *; }
source $0; words=("$@"); CURRENT=$#; $complete"""
FISH = r"""source $argv[1]; complete -C "$(string join ' ' -- $argv[2..])" | string split -f 1 \t"""
PROGRAMS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@pytest.fixture(params=SHELLS)
def complete(request, scripts, tmp_path):
    """Returns a function from the words typed to the completions of the last one, in a folder with one file."""
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"no {request.param}")
    (tmp_path / "photo.png").touch()

    def typed(*words):
        run = [shell, "-c", PROGRAMS[request.param], str(scripts / request.param), "jaxgen", *words]
        done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path)
        assert done.stderr == ""
        return set(done.stdout.split())

    return typed


def test_a_shell_completes_commands_and_names(complete):
    assert complete("") == {*commands.COMMANDS}
    assert complete("tr") == {"train"}
    assert complete("train", "") == {*names.trainable()}
    assert complete("scan", "scan_inv") == {"scan_inverse_mnist"}
    assert complete("--print-completion", "") == {*SHELLS}


@pytest.mark.parametrize(
    ("words", "known", "unknown"),
    [
        (("train", "gan_mnist"), "--latent-dim", "--damage"),
        (("train", "inverse"), "--damage", "--latent-dim"),
        (("train", "mnist_classifier"), "--hparams.lr", "--hparams.r1"),
        (("scan", "gan_mnist"), "--halving", "--damage"),
        (("sample",), "--label", "--strength"),
    ],
)
def test_a_shell_completes_the_flags_of_the_command_alone(words, known, unknown, complete):
    flags = complete(*words, "--")
    assert known in flags
    assert unknown not in flags
    assert complete(*words, known[:-1]) >= {known}


def test_a_shell_completes_choices_and_files(complete):
    assert complete("train", "gan", "--architecture", "") == {"auto", "mlp", "dcgan", "resnet"}
    assert complete("restore", "") == {"photo.png"}
    assert complete("restore", "photo.png", "--mask", "") == {"photo.png"}
    assert complete("restore", "pho") == {"photo.png"}


def test_the_recipes_of_the_folder_are_all_known():
    assert {"gan_mnist", "mnist_classifier", "scan_gan_mnist"} <= set(names.recipes())
    assert not {"studies", "pretraining_study", "restoration_pictures"} & set(names.recipes())
    named = {name for preset in presets().values() for name in preset[1:] if name}
    assert named <= set(names.recipes())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--dataset", "folder:x"], (64, "auto")),
        (["--dataset=folder:x", "--image-size", "32"], (32, "auto")),
        (["--dataset", "digits"], (None, "auto")),
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
    monkeypatch.setattr(recipes, "_start", lambda recipe, config, run, command, *_: seen.append((config, command)))
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
    found = [listing.describe(folder, now=1e9) for folder in listing.list_runs(out)]
    statuses = [run.status for run in found[:5]]
    assert statuses == ["complete", "interrupted", "running", "interrupted", "failed"]
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


def make_scan(folder):
    """A scan of two members, of which the second is better, as scans write it."""
    make_run(folder, "complete", 100, "0.1,0.2")
    row = {"step": 100, "loss/generator.0": 1.0, "loss/generator.1": 2.0, "frechet/fakes.0": 9.0}
    (folder / "metrics.jsonl").write_text(json.dumps(row | {"frechet/fakes.1": 7.0}) + "\n")
    found = ((1, 0.2, 7.0), (0, 0.1, 9.0))
    members = [{"number": n, "seed": 0, "hparams": {"lr": lr}, "scores": [[100, score]]} for n, lr, score in found]
    (folder / "scan.json").write_text(json.dumps({"metric": "frechet/fakes", "varied": ["lr"], "members": members}))
    return folder


def test_a_scan_is_listed_and_compared_by_its_best_member(out, capsys):
    scan = make_scan(out / "scan_gan" / "20260101-000001")
    assert listing.describe(scan).metrics == "frechet/fakes 7 (member 1 of 2, lr 0.2, seed 0)"
    text = call(capsys, "runs", "compare", out / "gan" / "20260101-000001", scan)[1]
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert rows["loss/generator"] == ["1.5", "2"]
    assert rows["frechet/fakes"] == ["50", "7"]
    assert not [name for name in rows if name.endswith((".0", ".1"))]
    (scan / "scan.json").write_text("{")
    assert listing.describe(scan).status == "complete"


def test_compare_takes_what_sample_takes(out, capsys, monkeypatch):
    from jaxgen.cli import commands_for_models

    make_run(out / "cgan" / "20260101-000009", "complete", 100, 0.3)
    monkeypatch.setattr(commands_for_models, "RUNS", out)
    code, text, _ = call(capsys, "runs", "compare", "latest", out / "gan" / "20260101-000001")
    assert code == 0
    assert str(out / "cgan" / "20260101-000009") in text.splitlines()[0]
    assert "20260101-000009" in call(capsys, "runs", "compare", "cgan", out / "gan" / "20260101-000001")[1]


def test_no_runs_yet(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, text, _ = call(capsys, "runs")
    assert code == 0
    assert "no runs in runs" in text


def test_a_recipes_newest_run_is_found_by_name(out, monkeypatch):
    from jaxgen.cli import commands_for_models

    monkeypatch.setattr(commands_for_models, "RUNS", out)
    assert commands_for_models.find_run_by_name("gan").name == "20260101-000006"
    assert commands_for_models.find_run_by_name("latest").name == "20260101-000006"
    with pytest.raises(InputError, match="one of gan"):
        commands_for_models.find_run_by_name("gun")


def test_sample_overwrites_only_when_forced(out, capsys, tmp_path):
    picture = tmp_path / "x.png"
    picture.write_bytes(b"mine")
    code, _, error = call(capsys, "sample", out / "gan" / "20260101-000001", "--out", picture)
    assert code == 2
    assert "--force" in error
    assert picture.read_bytes() == b"mine"
