"""Each file of weights in the package has a card, which says what it is of this very file."""

import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CARDS = {path.name: path.read_text(encoding="utf8") for path in (ROOT / "docs" / "cards").glob("*.md")}
WEIGHTS = sorted((ROOT / "jaxgen").rglob("*.safetensors"))


def size_and_hash(path: Path) -> str:
    """What a card says of a file."""
    data = path.read_bytes()
    return f"{len(data):,} bytes, SHA-256 `{hashlib.sha256(data).hexdigest()}`"


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_each_file_of_weights_has_a_card_with_its_size_and_hash(path):
    expected = size_and_hash(path)
    (line,) = [line for text in CARDS.values() for line in text.splitlines() if expected in line]
    (card,) = [text for text in CARDS.values() if line in text]
    folder = path.parent.relative_to(ROOT)
    assert path.name in line or f"`{folder}/{path.name}`" in card
    assert f"`{folder}/" in card


@pytest.mark.parametrize("name", sorted(CARDS))
def test_cards_name_only_what_exists(name):
    text = CARDS[name]
    hashes = {hashlib.sha256(path.read_bytes()).hexdigest() for path in WEIGHTS}
    assert set(re.findall(r"\b[0-9a-f]{64}\b", text)) <= hashes
    for module in re.findall(r"\b(experiments\.\w+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
    for path in re.findall(r"`(jaxgen/[\w/.-]*)`", text):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\(([^):#]+)[^):]*\)", text):
        assert (ROOT / "docs" / "cards" / path).is_file(), path


@pytest.mark.parametrize("name", sorted(CARDS))
def test_each_card_says_what_else_there_is_to_know(name):
    for heading in ("How good", "not for", "Licences", "made"):
        assert re.search(rf"^## .*{heading}", CARDS[name], re.M), heading
    for row in ("data", "command", "hardware", "time"):
        assert re.search(rf"\b{row}\b", CARDS[name], re.I), row
