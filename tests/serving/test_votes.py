"""What clients say of answers afterwards, by the version that gave them."""

from __future__ import annotations

import numpy as np

from throughline.serving.votes import Votes


def test_each_answer_is_judged_once_and_what_nobody_knows_is_counted() -> None:
    votes = Votes()
    votes.answered("one", "1")
    assert votes.say("one", 1.0)
    assert not votes.say("one", 1.0)
    assert not votes.say("other", 1.0)
    assert votes.report() == {"versions": {"1": {"answers": 1, "mean": 1.0}}, "tests": {}, "unknown": 2}


def test_a_better_version_is_told_from_a_worse_one() -> None:
    votes, random = Votes(), np.random.default_rng(0)
    for at in range(400):
        version = str(at % 2 + 1)
        votes.answered(str(at), version)
        votes.say(str(at), float(random.normal(0.3 if version == "2" else 0.0, 0.5)))
    (found,) = votes.report()["tests"].values()
    assert found["low"] > 0
    assert found["p"] < 0.001
    assert found["low"] < 0.3 < found["high"]


def test_only_the_newest_answers_are_remembered() -> None:
    votes = Votes()
    for at in range(20_000):
        votes.answered(str(at), "1")
    assert not votes.say("0", 1.0)
    assert votes.say("19999", 1.0)


def test_nothing_said_is_nothing_reported() -> None:
    assert Votes().report() == {"versions": {}, "tests": {}, "unknown": 0}
