"""No planted fault gets through, and no good conversion is stopped."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # the faults and the conversions, which benchmarks/faults.py tabulates, too

from conversions import CONVERSIONS, HOW
from planted import FAULTS

from throughline.evaluation.verification import verify_models


def test_there_are_enough_of_both() -> None:
    assert len(FAULTS) >= 15
    assert len(CONVERSIONS) >= 15
    assert len({name for name, _ in CONVERSIONS}) >= 5


@pytest.mark.parametrize("kind", FAULTS)
def test_a_planted_fault_is_caught_and_its_layer_is_named(kind: str, tmp_path: Path) -> None:
    fault = FAULTS[kind](tmp_path)
    found = verify_models(
        fault.reference, fault.candidate, data=fault.data, asked=fault.asked, steps=fault.steps, trust=True
    )
    assert not found.verdict.passed
    if fault.layers:
        assert found.parting is not None
        assert {found.parting.layer, *found.parting.between} & set(fault.layers)
    else:
        assert found.parting is None or not found.parting.layer


@pytest.mark.parametrize(("name", "how"), CONVERSIONS)
def test_a_good_conversion_raises_no_alarm(name: str, how: str, tmp_path: Path) -> None:
    made = HOW[how](name, tmp_path)
    found = verify_models(made.reference, made.candidate, data=made.data, asked=made.asked, steps=made.steps)
    assert [check for check in found.verdict.checks if not check.passed] == []
