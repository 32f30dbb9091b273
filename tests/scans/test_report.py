"""scan.html: heat maps with means and spreads worked out by hand, one page that asks nothing of the network."""

import json
import math
import re

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.images import save_png
from jaxgen.runs.report_style import STYLE
from jaxgen.scans.report import GREENEST, Cell, cells_of, places_of, score_of, write_scan_report
from jaxgen.scans.scan import describe_size
from jaxgen.training.config import TrainConfig
from jaxgen.training.population import Population


def member(number, score, status="running", **hparams):
    scores = [] if score is None else [[5, score + 1], [10, score]]
    return {"number": number, "seed": number % 2, "status": status, "steps": 10, "hparams": hparams, "scores": scores}


MEMBERS = [
    member(0, 4.0, lr=0.1, r1=1.0),
    member(1, 6.0, lr=0.1, r1=1.0),
    member(2, 3.0, lr=0.2, r1=1.0),
    member(3, 1.0, "diverged", lr=0.2, r1=2.0),
    member(4, None, lr=0.1, r1=2.0),
]


def test_cells_hold_mean_spread_and_what_has_no_score():
    rows, columns = (places_of([m["hparams"][name] for m in MEMBERS])[1] for name in ("lr", "r1"))
    assert (rows, columns) == ([0, 0, 1, 1, 0], [0, 0, 0, 1, 1])
    cells = cells_of(MEMBERS, rows, columns)
    assert cells[0, 0] == Cell(5.0, 4.0, 6.0, 2, 0)
    assert cells[1, 0] == Cell(3.0, 3.0, 3.0, 1, 0)
    assert cells[1, 1] == cells[0, 1] == Cell(math.inf, math.inf, math.inf, 1, 1)


def test_many_values_share_steps_of_equal_ratio():
    labels, places = places_of([10.0**i for i in range(9)])
    assert labels[0] == "1 to 10"
    assert places == [0, 1, 2, 3, 4, 5, 6, 7, 7]


def test_scores_that_are_missing_or_null_rank_last():
    assert score_of(member(0, 2.0)) == 2.0
    assert score_of({"status": "running", "scores": [[5, None]]}) == math.inf


def test_the_page_stands_alone(tmp_path):
    scan = {"metric": "quality/x", "protocol": "<five> fakes", "varied": ["lr", "r1"], "members": MEMBERS}
    (tmp_path / "scan.json").write_text(json.dumps(scan))
    (tmp_path / "run.json").write_text(json.dumps({"recipe": "scan_gan_mnist", "command": "python -m x", "steps": 10}))
    page = write_scan_report(tmp_path).read_text()
    assert "5<small>4 to 6</small>" in page
    assert "1 without a score" in page
    assert "&lt;five&gt; fakes" in page
    assert page.count("<polyline") == 4  # the member without scores has no curve
    assert "--extract MEMBER" in page
    assert "http" not in page.replace("http-equiv", "")


def test_one_varied_number_gives_one_column_and_none_gives_no_map(tmp_path):
    for varied, maps in ((["lr"], 1), ([], 0)):
        scan = {"metric": "m", "protocol": "p", "varied": varied, "members": MEMBERS}
        (tmp_path / "scan.json").write_text(json.dumps(scan))
        assert write_scan_report(tmp_path).read_text().count('class="map"') == maps


def write_scan(folder, members, **more):
    scan = {"metric": "quality/frechet_2k", "protocol": "p", "varied": ["lr", "r1"], "members": members}
    (folder / "scan.json").write_text(json.dumps(scan | more))


def test_the_leaderboard_has_the_settings_first_and_nothing_that_is_the_same_for_all(tmp_path):
    write_scan(tmp_path, MEMBERS[:3])
    page = write_scan_report(tmp_path).read_text()
    board = page[page.index('class="board"') :].partition("</table>")[0]
    assert re.findall("<th>(.*?)</th>", board) == ["rank", "lr", "r1", "seed", "frechet_2k", "member"]
    assert re.findall("<td>(.*?)</td>", board)[:6] == ["1", "0.1", "1", "0", "4", "0"]
    write_scan(tmp_path, MEMBERS)
    page = write_scan_report(tmp_path).read_text()
    assert "<th>status</th>" in page
    assert "<td>diverged</td>" in page


def test_the_best_member_is_shown_with_its_settings(tmp_path):
    write_scan(tmp_path, MEMBERS)
    assert "Best member" not in write_scan_report(tmp_path).read_text()
    save_png(tmp_path / "best.png", np.zeros((8, 8, 1), np.uint8))
    (tmp_path / "best.json").write_text(json.dumps({"member": 2, "steps": 1200}))
    page = write_scan_report(tmp_path).read_text()
    assert "Member 2, lr 0.2, r1 1, seed 0, after 1,200 steps" in page
    assert "img-src data:" in page
    assert page.index("data:image/png;base64,") < page.index('class="map"')


def luminance(rgb):
    """The relative luminance of WCAG 2.2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


def colour(theme, name):
    text = re.search(rf"--{name}:\s*#(\w+)", theme)[1]
    text = text if len(text) == 6 else "".join(2 * digit for digit in text)
    return np.array([int(text[i : i + 2], 16) / 255 for i in (0, 2, 4)])


@pytest.mark.parametrize("theme", [STYLE.partition("@media")[0], STYLE.partition("@media")[2]], ids=["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa_on_every_ground(theme):
    ink, soft, card, paper = (colour(theme, name) for name in ("ink", "soft", "card", "paper"))
    for ground in (card, paper):
        assert contrast(soft, ground) >= 4.5
        assert contrast(colour(theme, "good"), ground) >= 4.5
        assert contrast(colour(theme, "bad"), ground) >= 4.5
    for share in np.linspace(0, GREENEST / 100, 5):  # a cell of the map, as color-mix() mixes it
        assert contrast(ink, share * colour(theme, "good") + (1 - share) * card) >= 4.5


def test_small_text_of_the_map_is_not_faint(tmp_path):
    write_scan(tmp_path, MEMBERS)
    page = write_scan_report(tmp_path).read_text()
    assert not re.search(r"\.map small \{[^}]*color", page)


@pytest.mark.parametrize(("every", "text"), [(5, "2 checkpoints"), (10, "1 checkpoint of"), (1, "3 checkpoints")])
def test_the_size_on_disk_is_told_before(every, text):
    population = Population(jnp.int32(0), {"a": jnp.zeros(1000), "b": jnp.zeros((250, 1))})  # 5,004 bytes
    said = describe_size(population, TrainConfig(steps=10, checkpoint_every=every))
    assert text in said
    assert "of 5.0 kB" in said
    assert f"about {5.004 * int(text[0]):.1f} kB" in said
