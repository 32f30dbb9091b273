"""scan.html: heat maps with means and spreads worked out by hand, one page that asks nothing of the network."""

import json
import math

from jaxgen.scans.report import Cell, cells_of, places_of, score_of, write_scan_report


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
