"""The help of commands and recipes, and what is said about flags that are not known."""

import importlib
import inspect
import signal
import subprocess
import sys

import pytest

from jaxgen.cli import commands
from jaxgen.cli.help import flags_of, help_of
from jaxgen.cli.names import recipes, scan_config, train_config
from jaxgen.config_json import to_dict
from jaxgen.runs.reading import flatten
from jaxgen.tasks.table import presets


@pytest.fixture(autouse=True)
def same_handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def call(capsys, *args):
    code = 0
    try:
        commands.main([*args])
    except SystemExit as end:
        code = end.code or 0
    return code, *capsys.readouterr()


def settings_of(config):
    """The flags that a configuration has by its fields: those of `hparams` have their group in front."""
    return {
        name if name.startswith("hparams.") else name.rpartition(".")[2]: value
        for name, value in flatten(to_dict(config)).items()
    }


CONFIGS = [train_config("gan_mnist"), train_config("crnn_photos"), train_config("mnist_classifier"), scan_config("gan")]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_help_shows_what_matters_first_and_help_all_shows_every_flag(config):
    settings, short, full = settings_of(config), help_of(config, "x", None, False), help_of(config, "x", None, True)
    explained = {line.split()[0] for line in short.splitlines() if line.startswith("  --") and line[4:].count("--") < 2}
    assert set(config.first) <= set(settings)
    assert {flag.option for flag in flags_of(config)} == {f"--{name.replace('_', '-')}" for name in settings}
    assert all(f"--{name.replace('_', '-')}" in explained for name in config.first)
    assert all(f"\n  --{name.replace('_', '-')}" in full for name in settings)
    assert "x --help-all" in short
    assert "x --help-all" not in full
    assert all(flag.about for flag in flags_of(config)), "each flag says what it means"


@pytest.mark.parametrize("name", ["gan", "cgan", "inverse", "crnn", "inverse_photos"])
def test_the_help_of_a_recipe_is_short(name, capsys):
    code, out, _ = call(capsys, "train", name, "--help")
    assert code == 0
    assert len(out.splitlines()) < 60  # it had 135
    assert len(train_config(name).first) <= 14
    for word in ("--dataset DATASET", "--steps N", "--minutes X", "--out FOLDER", "--resume RUN", "--hparams.lr X"):
        assert word in out


def test_no_help_shows_the_grammar_of_types_or_a_default_of_none(capsys):
    texts = [call(capsys, name, "--help")[1] for name in commands.COMMANDS]
    texts += [help_of(config, "x", None, True) for config in CONFIGS]
    for text in texts:
        assert not any(word in text for word in ("{None}", "STR", "INT", "FLOAT", "BOOL", "default: None", "╭", "{"))
    assert "--data-dir FOLDER" in texts[-1]
    assert "PHOTO ..." in texts[list(commands.COMMANDS).index("restore")]
    assert "that of the data set" in texts[-1]


def test_a_scan_says_what_each_number_means_and_how_values_are_given():
    config = scan_config("gan")
    for full in (False, True):
        text = " ".join(help_of(config, "x", None, full).split())
        assert "--hparams.r1 VALUES Weight of R1 (times half the squared gradient norm on real images)" in text
        assert "values A,B,C, or with --random a range LOW..HIGH" in text
        assert text.count("LOW..HIGH") == 1


def test_a_default_of_zero_is_shown_and_names_are_listed_once():
    text = help_of(train_config("gan_mnist"), "x", None, True)
    flat = " ".join(text.split())
    assert "Adam's decay of the first moment. (default: 0)" in flat
    assert "Optimizer of both networks. One of adam, sgd. (default: adam)" in flat
    assert "(default: auto)" in flat


@pytest.mark.parametrize("command", ["train", "scan"])
def test_listings_keep_their_columns_apart(command, capsys):
    out = call(capsys, command)[1]
    rows = [line for line in out.splitlines() if line.startswith("  ") and line[2] != " "]
    listed = {line.split()[0] for line in rows}
    assert {*presets(), "inverse_photos_grey"} <= listed
    column = 4 + max(map(len, recipes()))
    assert all(line[column - 1] == " " and line[column] != " " for line in rows if not line.startswith("  jaxgen"))
    assert max(map(len, out.splitlines())) <= 120


def test_help_all_is_taken_everywhere(capsys):
    for args in (["sample", "--help-all"], ["train", "--help-all"], ["train", "gan", "--help-all"], ["--help-all"]):
        assert call(capsys, *args)[0] == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["train", "gan_mnist", "--setps", "3"], ["--setps", "--steps"]),
        (["scan", "gan", "--seedz", "3"], ["--seedz", "--seeds"]),
        (["sample", "x", "--checkpiont=best"], ["--checkpiont", "--checkpoint"]),
        (["smaple", "x"], ["'smaple'", "sample"]),
        (["train", "gan_mnist", "--image-size", "big"], ["--image-size", "'big'", "a whole number, or None"]),
        (["sample", "x", "--num", "many"], ["--num", "'many'", "a whole number, or None"]),
        (["train", "gan_mnist", "--hparams.lr", "x"], ["--hparams.lr", "'x'", "a number"]),
    ],
)
def test_a_wrong_flag_gets_a_suggestion(args, words, capsys):
    code, out, error = call(capsys, *args)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert all(word in error for word in words), error
    assert "{" not in error


def test_the_help_of_recipes_presets_and_scans_needs_no_jax():
    code = """
import sys
from jaxgen.cli import main
for args in (["train", "gan", "--help"], ["train", "inverse_photos", "--help-all"], ["scan", "gan", "--help"]):
    try:
        main(args)
    except SystemExit as end:
        assert not end.code, args
print(sorted({"jax", "flax", "tensorflow"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_command_explains_its_arguments():
    for command in (command for name, command in commands.COMMANDS.items() if name not in commands.NAMES):
        flags = flags_of(command.run)
        assert [flag.name for flag in flags if not flag.about] == []
        assert [flag.name for flag in flags] == [*inspect.signature(command.run).parameters]


def test_a_study_has_the_same_help(capsys, monkeypatch):
    study = importlib.import_module("experiments.pretraining_study")
    monkeypatch.setattr(sys, "argv", ["x", "--help"])
    with pytest.raises(SystemExit) as end:
        study.main()
    assert not end.value.code
    assert "--sizes N ..." in capsys.readouterr().out
