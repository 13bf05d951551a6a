"""What every backend must do, as a test class: subclass it and name the backend.

    class TestMine(BackendConformance):
        backend = "mine"

A backend that does not read ONNX also says how its files are made (``write``), and one
that cannot hold some type of tensor names the networks it cannot run (``cannot``).
Everything is asked through ``open_model``, as users do.
"""
# ruff: noqa: D102, PT017 - a test's name is its docstring, and this file imports without pytest

from __future__ import annotations

import tempfile
import threading
from abc import ABC
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from throughline.contracts.artifacts import Array, Passport, Predictor
from throughline.contracts.errors import InputError, ThroughlineError, Unavailable
from throughline.models import passport as passports
from throughline.models.identify import identify
from throughline.models.session import Session, open_model
from throughline.testing import networks
from throughline.testing.networks import Network

_THREADS, _CALLS = 8, 500


class BackendConformance(ABC):
    """The suite. pytest collects the subclasses whose names begin with ``Test``."""

    backend: ClassVar[str]
    device: ClassVar[str] = "cpu"
    cannot: ClassVar[frozenset[str]] = frozenset()
    _folder: ClassVar[tempfile.TemporaryDirectory[str]]
    _files: ClassVar[dict[str, Path]]

    def write(self, network: Network, folder: Path) -> Path:
        """Write a network in the backend's own format. ONNX, unless overridden."""
        path = folder / f"{network.name}.onnx"
        path.write_bytes(network.onnx())
        return path

    def options(self, network: Network) -> Mapping[str, Any]:
        """What else ``open_model`` needs for it; nothing, unless overridden."""
        return {}

    @classmethod
    def setup_class(cls) -> None:
        """One folder of model files for the whole class."""
        cls._folder = tempfile.TemporaryDirectory(prefix=f"conformance-{cls.backend}-")
        cls._files = {}

    @classmethod
    def teardown_class(cls) -> None:
        """Remove them."""
        cls._folder.cleanup()

    def open(self, network: Network, **options: Any) -> Session:
        """The network, opened on this backend; skips the test where it cannot be."""
        if network.name in self.cannot:
            import pytest

            pytest.skip(f"{self.backend} cannot run '{network.name}'")
        if network.name not in self._files:
            self._files[network.name] = self.write(network, Path(self._folder.name))
        path = self._files[network.name]
        if (
            passports.holds(path) is not None
        ):  # made here, so vouched for here: programs open, and graphs without a probe
            passports.issue(
                path,
                Passport(path.name, "", 0, identify(path).format, inputs=network.inputs, outputs=network.outputs),
                vouch=True,
            )
        settings = {"backend": self.backend, "device": self.device, "threads": 1}
        return open_model(path, **{**settings, **self.options(network), **options})

    def test_it_is_a_predictor_that_says_what_it_runs_on(self) -> None:
        with self.open(networks.CONVOLUTION) as session:
            assert isinstance(session, Predictor)
            assert (session.backend, session.threads) == (self.backend, 1)
            assert self.backend in str(session)
            assert session.device in str(session)
            assert "\n" not in str(session)

    def test_inputs_and_outputs_keep_their_names_order_and_types(self) -> None:
        for network in self._runnable():
            with self.open(network) as session:
                answers = session.predict(network.feeds(4))
                expected = network.reference(network.feeds(4))
                assert [spec.name for spec in session.inputs] == [spec.name for spec in network.inputs]
                assert list(answers) == [spec.name for spec in network.outputs]
                if session.outputs:
                    assert [spec.name for spec in session.outputs] == list(answers)
                for name, answer in answers.items():
                    assert (answer.dtype, answer.shape) == (expected[name].dtype, expected[name].shape), name

    def test_answers_equal_the_reference_for_any_batch(self) -> None:
        for batch in (1, 2, 7):
            self._compare(networks.CONVOLUTION, batch)

    def test_answers_equal_the_reference_for_any_picture_size(self) -> None:
        with self.open(networks.CONVOLUTION) as session:
            for height, width in ((4, 4), (8, 12), (5, 3)):
                feeds = {"images": networks.CONVOLUTION.feeds(2, side=12)["images"][:, :, :height, :width].copy()}
                self._same(session.predict(feeds), networks.CONVOLUTION.reference(feeds))

    def test_a_batch_larger_than_the_maximum_is_split_in_order(self) -> None:
        for batch in (4, 5, 7, 8):
            session = self._compare(networks.CONVOLUTION, batch, max_batch=4)
            assert max(session.get_performance_stats().batch_sizes) == 4
            assert session.get_performance_stats().samples == batch

    def test_a_fixed_batch_takes_any_batch(self) -> None:
        for batch in (1, 4, 7, 12):
            session = self._compare(networks.FIXED, batch)
            assert set(session.get_performance_stats().batch_sizes) == {4}

    def test_an_empty_batch_gives_empty_answers_of_the_right_shape(self) -> None:
        for network in (networks.CONVOLUTION, networks.FIXED):
            with self.open(network) as session:
                answers = session.predict(network.feeds(0))
                assert {name: answer.shape for name, answer in answers.items()} == {
                    "features": (0, 4, 8, 8),
                    "scores": (0, 4),
                }

    def test_half_integer_and_boolean_tensors_keep_their_values(self) -> None:
        self._compare(networks.TYPES, 3)

    def test_a_scalar_goes_whole_into_every_part_of_a_split_batch(self) -> None:
        self._compare(networks.SCALAR, 7, max_batch=2)

    def test_an_output_without_a_batch_is_returned_whole_and_never_pieced_together(self) -> None:
        self._compare(networks.WITHOUT_BATCH, 3)
        with self.open(networks.WITHOUT_BATCH, max_batch=3) as session:
            _raises(InputError, "does not follow the batch", session.predict, networks.WITHOUT_BATCH.feeds(7))

    def test_wrong_feeds_are_refused_with_what_is_expected(self) -> None:
        with self.open(networks.FIXED) as session:
            images = networks.FIXED.feeds(4)["images"]
            wrong: list[tuple[str, Mapping[str, Any]]] = [
                ("'images' is missing", {}),
                ("'extra' is not an input", {"images": images, "extra": images}),
                ("'images' is a list", {"images": images.tolist()}),
            ]
            if session.inputs[0].shape == networks.FIXED.inputs[0].shape:
                wrong += [
                    ("'images' is float32[3, 8, 8]", {"images": images[0]}),
                    ("'images' is float32[4, 3, 9, 8]", {"images": np.zeros((4, 3, 9, 8), np.float32)}),
                    ("'images' is uint8[4, 3, 8, 8]", {"images": np.zeros((4, 3, 8, 8), np.uint8)}),
                    ("'images' is float64[4, 3, 8, 8]", {"images": images.astype(np.float64)}),
                ]
            for said, feeds in wrong:
                _raises(InputError, said, session.predict, feeds)
            _raises(InputError, "the feeds are a ndarray", session.predict, images)
            assert session.get_performance_stats().calls == 0
            self._same(session.predict({"images": images}), networks.FIXED.reference({"images": images}))

    def test_inputs_with_different_batches_are_refused(self) -> None:
        with self.open(networks.TYPES) as session:
            feeds = networks.TYPES.feeds(3)
            _raises(InputError, "different batches", session.predict, {**feeds, "flag": feeds["flag"][:2]})

    def test_feeds_are_left_as_they_were_and_answers_belong_to_the_caller(self) -> None:
        for network in (networks.CONVOLUTION, networks.PASSING):
            with self.open(network) as session:
                feeds = network.feeds(2)
                before = {name: array.copy() for name, array in feeds.items()}
                first = session.predict(feeds)
                kept = {name: array.copy() for name, array in first.items()}
                session.predict(network.feeds(2, seed=1))
                self._same(first, kept, exactly=True)
                for array in first.values():
                    array[...] = 9
                self._same(feeds, before, exactly=True)
                self._same(session.predict(feeds), kept, exactly=True)

    def test_arrays_need_not_be_contiguous_or_writable(self) -> None:
        with self.open(networks.CONVOLUTION) as session:
            upside_down = networks.CONVOLUTION.feeds(2)["images"][:, ::-1, ::-1]
            upside_down.flags.writeable = False
            feeds = {"images": upside_down}
            self._same(session.predict(feeds), networks.CONVOLUTION.reference(feeds))

    def test_values_that_are_not_finite_are_reported_once_and_counted(self, caplog: Any) -> None:
        feeds = {"x": np.array([[1, 1, 1, 1], [1, 0, -1, 1]], np.float32)}
        with self.open(networks.LOGARITHM) as session:
            for _ in range(3):
                self._same(session.predict(feeds), networks.LOGARITHM.reference(feeds))
            said = [record.getMessage() for record in caplog.records if "not finite" in record.getMessage()]
            assert len(said) == 1
            assert "'logarithm' holds 2 values that are not finite, first in row 1" in said[0]
            assert session.get_performance_stats().non_finite == 6
        with self.open(networks.LOGARITHM, on_nonfinite="raise") as session:
            _raises(ThroughlineError, "2 values that are not finite", session.predict, feeds)

    def test_the_same_feeds_give_the_same_bytes(self) -> None:
        with self.open(networks.CONVOLUTION) as session, self.open(networks.CONVOLUTION) as again:
            feeds = networks.CONVOLUTION.feeds(3)
            first = session.predict(feeds)
            for _ in range(5):
                self._same(session.predict(feeds), first, exactly=True)
            self._same(again.predict(feeds), first, exactly=True)

    def test_many_threads_get_the_answers_that_one_would(self) -> None:
        with self.open(networks.CONVOLUTION, max_batch=4) as session:
            asked = [networks.CONVOLUTION.feeds(1 + index % 6, seed=index) for index in range(25)]
            alone = [session.predict(feeds) for feeds in asked]
            session.warm_up(1, asked[0])
            with ThreadPoolExecutor(_THREADS) as pool:
                together = list(pool.map(session.predict, (asked[call % 25] for call in range(_CALLS))))
            for call, answers in enumerate(together):
                self._same(answers, alone[call % 25], exactly=True)
            stats = session.get_performance_stats()
            assert (stats.calls, stats.samples) == (
                _CALLS,
                sum(len(asked[call % 25]["images"]) for call in range(_CALLS)),
            )

    def test_closing_waits_for_calls_and_then_refuses_them(self) -> None:
        session = self.open(networks.CONVOLUTION)
        feeds, begun = networks.CONVOLUTION.feeds(4), threading.Barrier(_THREADS + 1)
        expected = session.predict(feeds)

        def call_until_closed() -> int:
            begun.wait()
            for answered in range(100_000):
                try:
                    self._same(session.predict(feeds), expected, exactly=True)
                except InputError as error:
                    assert "is closed" in error.problem
                    return answered
            raise AssertionError("the session never closed")

        with ThreadPoolExecutor(_THREADS) as pool:
            calling = [pool.submit(call_until_closed) for _ in range(_THREADS)]
            begun.wait()
            session.close()
            for call in calling:
                call.result()
        session.close()
        _raises(InputError, "is closed", session.predict, feeds)
        _raises(InputError, "is closed", session.warm_up)

    def test_statistics_count_calls_and_not_the_warm_up(self) -> None:
        with self.open(networks.CONVOLUTION) as session:
            session.warm_up(2, networks.CONVOLUTION.feeds(2))
            assert session.get_performance_stats().calls == 0
            for _ in range(20):
                session.predict(networks.CONVOLUTION.feeds(3))
            stats = session.get_performance_stats()
            assert (stats.calls, stats.samples, dict(stats.batch_sizes)) == (20, 60, {3: 20})
            assert 0 < stats.p50_ms <= stats.p90_ms <= stats.p99_ms
            assert stats.throughput > 0
            assert stats.peak_rss_mb > 0
            assert stats.non_finite == 0

    def test_a_device_that_is_not_there_is_an_error_and_never_the_cpu(self) -> None:
        _raises(Unavailable, "gpu:99", self.open, networks.CONVOLUTION, device="gpu:99")
        _raises(InputError, "there is no device 'banana'", self.open, networks.CONVOLUTION, device="banana")

    def _runnable(self) -> Iterable[Network]:
        return (network for network in networks.NETWORKS if network.name not in self.cannot)

    def _compare(self, network: Network, batch: int, **options: Any) -> Session:
        with self.open(network, **options) as session:
            feeds = network.feeds(batch, seed=batch)
            self._same(session.predict(feeds), network.reference(feeds))
        return session

    def _same(self, answers: Mapping[str, Array], expected: Mapping[str, Array], *, exactly: bool = False) -> None:
        assert list(answers) == list(expected)
        for name, answer in answers.items():
            assert answer.shape == expected[name].shape, f"{name}: {answer.shape}, not {expected[name].shape}"
            if exactly:
                np.testing.assert_array_equal(answer, expected[name], err_msg=name)
            else:
                np.testing.assert_allclose(answer, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


def _raises(kind: type[Exception], said: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    try:
        call(*arguments, **options)
    except kind as error:
        assert said in str(error), f"{said!r} is not in {str(error)!r}"
    else:
        raise AssertionError(f"no {kind.__name__} was raised")
