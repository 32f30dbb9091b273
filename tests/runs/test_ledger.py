"""The book of a scan: ranks, halving by hand, and the way through JSON."""

import json
import math

from jaxgen.runs import ledger as book
from jaxgen.runs.driver import Members
from jaxgen.runs.measures import Measure, best_in_words
from jaxgen.scans.scan import format_leaderboard


def settings(num):
    return [{"lr": 0.1 * (i + 1)} for i in range(num)]


def ledger_of(scores, seeds=(0,), rung=10):
    """Members of as many settings as there are scores, judged after `rung` steps."""
    members = book.new_members(settings(len(scores)), seeds, range(len(scores) * len(seeds)))
    return book.scored(book.advanced(members, rung), {e.number: scores[e.setting] + e.seed for e in members})


def test_members_are_numbered_and_placed():
    members = book.new_members(settings(2), [5, 6], [3, 2, 1, 0], first=(10, 4), born=20)
    facts = [(e.number, e.setting, e.seed, e.slot, e.born) for e in members]
    assert facts == [(10, 4, 5, 3, 20), (11, 4, 6, 2, 20), (12, 5, 5, 1, 20), (13, 5, 6, 0, 20)]
    assert [e.number for e in book.present(members)] == [13, 12, 11, 10]


def test_a_ledger_survives_json():
    ledger = ledger_of([3.0, math.inf])
    assert book.from_json(json.loads(json.dumps(book.to_json(ledger)))) == ledger


def test_the_leaderboard_puts_the_diverged_last():
    ledger = ledger_of([3.0, 1.0, 2.0])
    ledger = book.changed(ledger, {1: ledger[1]._replace(status="diverged")})
    assert [e.number for e in book.leaderboard(ledger)] == [2, 0, 1]
    measure = Measure("distance", "", lambda state: 0.0)
    lines = format_leaderboard(Members(ledger, ["lr"], single=False), measure).splitlines()
    assert [line.split() for line in lines] == [
        ["member", "distance", "steps", "lr", "seed"],
        ["1", "2", "2", "10", "0.3", "0"],
        ["2", "0", "3", "10", "0.1", "0"],
        ["3", "1", "-", "10", "0.2", "0", "diverged"],
    ]


def test_a_score_at_a_step_replaces_an_earlier_one_of_that_step():
    ledger = book.scored(ledger_of([3.0]), {0: 4.0})
    assert ledger[0].scores == ((10, 4.0),)
    assert book.scored(book.advanced(ledger, 20), {0: 2.0})[0].scores == ((10, 4.0), (20, 2.0))


def test_the_worse_half_makes_way_and_new_settings_take_its_places():
    ledger, slots = book.halved(ledger_of([4.0, 1.0, 3.0, 2.0]), [10], lambda i: {"lr": float(i)}, step=10)
    assert slots == (0, 2)
    assert [e.status for e in ledger[:4]] == ["dropped", "running", "dropped", "running"]
    assert [(e.number, e.setting, e.slot, e.born, e.hparams["lr"]) for e in ledger[4:]] == [
        (4, 4, 0, 10, 4.0),
        (5, 5, 2, 10, 5.0),
    ]
    assert [e.number for e in book.present(ledger)] == [4, 1, 5, 3]


def test_nobody_is_judged_between_rungs_and_a_setting_goes_with_all_its_seeds():
    assert book.halved(ledger_of([4.0, 1.0]), [5, 20], lambda i: {}, step=10)[1] == ()
    ledger, slots = book.halved(ledger_of([1.0, 4.0], seeds=(0, 1)), [10], lambda i: {"lr": 0.0}, step=10)
    assert slots == (2, 3)
    assert [(e.seed, e.slot) for e in ledger[4:]] == [(0, 2), (1, 3)]


def test_new_settings_are_compared_with_all_who_stood_at_the_rung_before():
    ledger, _ = book.halved(ledger_of([4.0, 1.0, 3.0, 2.0]), [10], lambda i: {"lr": 0.0}, step=10)
    # at 20 the new ones stand at their own step 10: better and worse than the median (2) of the first four and them
    ledger = book.scored(book.advanced(ledger, 20), {4: 1.5, 5: 2.5})
    ledger, slots = book.halved(ledger, [10], lambda i: {"lr": 0.0}, step=20)
    assert slots == (2,)
    assert [e.number for e in book.present(ledger)] == [4, 1, 6, 3]


def test_a_diverged_member_always_makes_way():
    ledger = ledger_of([1.0, 2.0])
    ledger = book.changed(ledger, {0: ledger[0]._replace(status="diverged", steps=7)})
    after, slots = book.halved(ledger, [], lambda i: {"lr": 0.0}, step=10)
    assert slots == (0,)
    assert (after[0].status, after[0].slot) == ("diverged", -1)


def test_of_equal_scores_the_newest_checkpoint_is_called_the_best() -> None:
    measure = Measure("quality", "protocol", lambda state: 1.0)
    entry = book.Entry(0, 0, 0, {}, 0, scores=((2, 1.0), (4, 1.0), (6, 3.0)))
    assert best_in_words((entry,), (measure,)) == "; best checkpoint at step 4: 1"
