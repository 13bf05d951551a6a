"""The rule that picks a batch, and the measurement that it stands on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline.contracts.errors import InputError
from throughline.models.batching import bytes_per_frame, fitting_batch
from throughline.models.session import Session, open_model
from throughline.testing import networks

BYTES = st.integers(0, 2**45)


@given(BYTES, st.integers(1, 2**40), st.integers(1, 64))
def test_it_is_the_largest_that_leaves_a_fifth(available: int, each: int, most: int) -> None:
    batch = fitting_batch(available, each, most)
    assert 1 <= batch <= most
    assert batch == 1 or batch * each <= 0.8 * available
    assert batch == most or (batch + 1) * each > 0.8 * available - 1


def test_sixteen_are_enough_unless_more_are_asked_for() -> None:
    assert fitting_batch(2**40, 1) == 16
    assert fitting_batch(1000, 10, most=64) == 64
    assert fitting_batch(1000, 100) == 8
    assert fitting_batch(0, 100) == 1


@pytest.mark.parametrize("numbers", [(-1, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_numbers_that_mean_nothing_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="no batch follows"):
        fitting_batch(*numbers)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    path = tmp_path / "model.onnx"
    path.write_bytes(networks.CONVOLUTION.onnx())
    with open_model(path, device="cpu", threads=1) as session:
        yield session


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_what_a_frame_needs_is_measured(session: Session, batch: int) -> None:
    each, asked = 64 * 2**20, []  # so large that the allocator takes it fresh from the system, whatever ran before

    def run(frames: int) -> None:
        asked.append(frames)
        held = [np.ones(each, np.uint8) for _ in range(frames)]
        session.predict({spec.name: np.zeros(spec.concrete(batch=frames), spec.dtype) for spec in session.inputs})
        del held

    measured = bytes_per_frame(session, run, batch)
    assert measured is not None
    assert measured == pytest.approx(each, rel=0.15)
    assert asked == sorted({1, min(4, batch)})
    assert session.get_performance_stats().calls == 0
