"""The rules that hold the code together, read from its syntax: who imports whom, sizes, docstrings, names."""

import ast
import functools
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxgen

ROOT = Path(jaxgen.__file__).parent
ORDER = [
    "types", "errors", "repairs", "files", "config_json", "images", "weights", "hardware", "progress", "compilation",
    "bundles", "volumes", "data", "degradations", "networks", "losses", "metrics", "training", "privacy",
    "doctor", "evaluation", "checkpoints", "runs", "audit", "photos", "tasks", "scans", "export", "web", "loading",
    "api", "cli", "__main__", "jaxgen",
]  # fmt: skip
"""Each may import itself and what stands before it; the last is the package's own `__init__`."""
APART = {"degradations", "networks", "losses", "metrics"}
"""None of these knows another of them."""
FILES = sorted(ROOT.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT.parent))


every_file = pytest.mark.parametrize("path", FILES, ids=name_of)


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf8"))


def part_of(module: str) -> str:
    """The part of ORDER that a module `jaxgen.x.y` belongs to."""
    return [*module.split("."), "jaxgen"][1]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names of imported modules and of the names taken from them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer they reach into"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_at_load(tree: ast.AST) -> Iterator[str]:
    """What is imported when the module is: not the inside of functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(ast.Module([node], []))
        elif not isinstance(node, Function):
            yield from imports_at_load(node)


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def num_lines(function: Function) -> int:
    """Lines of a function, docstring included; functions defined in it count for themselves."""
    whole = function.end_lineno - function.lineno + 1  # type: ignore[operator]
    inner = [node for node in functions(function) if node is not function]
    outermost = [f for f in inner if not any(f is not g and f in set(functions(g)) for g in inner)]
    return whole - sum(f.end_lineno - f.lineno + 1 for f in outermost)  # type: ignore[operator]


def violations(part: str, names: list[str]) -> list[str]:
    """Those of the imported names that a module of `part` may not import."""
    wrong = []
    for name in names:
        if name.split(".")[0] != "jaxgen":
            continue
        target = part_of(name)
        below = target in ORDER and ORDER.index(target) <= ORDER.index(part)
        foreign = part in APART and target in APART and target != part
        if not below or foreign:
            wrong.append(name)
    return wrong


@every_file
def test_layers_import_only_from_below(path: Path) -> None:
    part = part_of(module_of(path))
    assert part in ORDER, f"{part}: give it a place in ORDER"
    assert not violations(part, list(imports(parse(path))))


def test_the_layer_check_can_fail() -> None:
    assert violations("networks", ["jaxgen.losses.adversarial.X", "jaxgen.errors.X", "jax.numpy"]) == [
        "jaxgen.losses.adversarial.X"
    ]
    assert violations("training", ["jaxgen.tasks.gan.algorithm.make_gan"])
    assert violations("tasks", ["jaxgen.scans.scan.run_scan"])
    assert not violations("training", ["jaxgen.training.step.TrainState"])
    assert violations("metrics", ["jaxgen.networks.dcgan.Generator"])
    assert violations("errors", ["jaxgen.images.to_float"])
    assert violations("data", ["jaxgen.unheard_of.x"])
    assert not violations("cli", ["jaxgen.tasks.gan.sample.sample_run"])


@every_file
def test_tensorflow_is_never_imported_on_load(path: Path) -> None:
    heavy = [n for n in imports_at_load(parse(path)) if n.split(".")[0] in ("tensorflow", "tensorflow_datasets")]
    assert not heavy


@every_file
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf8").splitlines()) <= 300


@every_file
def test_functions_are_short(path: Path) -> None:
    assert [(f.name, num_lines(f)) for f in functions(parse(path)) if num_lines(f) > 80] == []


def test_half_of_the_functions_are_at_most_fifteen_lines_long_and_nine_of_ten_forty_five() -> None:
    lengths = sorted(num_lines(f) for path in FILES for f in functions(parse(path)))
    assert len(lengths) > 100
    assert statistics.median(lengths) <= 15
    assert lengths[len(lengths) * 9 // 10] <= 45


def public_definitions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Public functions and classes of a module, and the public methods of those classes."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node)


@every_file
def test_public_names_have_docstrings(path: Path) -> None:
    tree = parse(path)
    assert ast.get_docstring(tree), "the module"
    assert [node.name for node in public_definitions(tree) if not ast.get_docstring(node)] == []


PROGRAMS = FILES + sorted((ROOT.parent / "experiments").rglob("*.py"))


@pytest.mark.parametrize("path", PROGRAMS, ids=name_of)
def test_the_docstring_of_a_function_begins_with_a_verb(path: Path) -> None:
    first = {f.name: (ast.get_docstring(f) or "Returns").split()[0] for f in functions(parse(path))}
    assert {name: word for name, word in first.items() if not re.fullmatch(r"[A-Z][a-z]+s,?", word)} == {}


@every_file
def test_no_argument_is_called_rng(path: Path) -> None:
    arguments = [a.arg for a in ast.walk(parse(path)) if isinstance(a, ast.arg)]
    assert not [name for name in arguments if name == "rng" or name.endswith("_rng") or name.startswith("rng_")]


@every_file
def test_nothing_is_pickled(path: Path) -> None:
    tree = parse(path)
    assert not [n for n in imports(tree) if n.split(".")[0] in ("pickle", "cloudpickle", "dill", "joblib", "shelve")]
    allowed = [k for k in ast.walk(tree) if isinstance(k, ast.keyword) and k.arg == "allow_pickle"]
    assert all(isinstance(k.value, ast.Constant) and k.value.value is False for k in allowed)


DTYPE_AT = {"normal": 2, "uniform": 2, "truncated_normal": 4, "randint": 4}
"""Position of the dtype among the arguments; without one JAX draws other numbers if it computes in 64 bits."""


@every_file
def test_random_numbers_name_their_dtype(path: Path) -> None:
    calls = [c for c in ast.walk(parse(path)) if isinstance(c, ast.Call) and isinstance(c.func, ast.Attribute)]
    drawn = [c for c in calls if c.func.attr in DTYPE_AT and ast.unparse(c.func.value) in ("jax.random", "random")]
    named = {c for c in drawn if len(c.args) > DTYPE_AT[c.func.attr] or "dtype" in [k.arg for k in c.keywords]}
    assert [ast.unparse(c) for c in drawn if c not in named] == []
