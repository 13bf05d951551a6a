"""What every data format must do, as a test class: subclass it, name the format, and write a small set in it.

    class TestMine(DataFormatConformance):
        format = "mine"

        def write(self, folder):
            ...
            return folder / "index.mine"

A format that knows what is on its pictures says how one object is added (``add_label``);
one that does not says so (``labelled = False``). The promise at its heart: whatever the
files hold, the answer is a data set or an ``InputError``, and what is wrong is named.
"""
# ruff: noqa: D102, PT017 - a test's name is its docstring, and this file imports without pytest

from __future__ import annotations

import shutil
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, cast

import numpy as np

from throughline.contracts.errors import InputError
from throughline.data.checks import check_data
from throughline.data.formats import FORMATS, DataFormat
from throughline.data.pictures import SUFFIXES
from throughline.data.reading import format_of, open_data


class DataFormatConformance(ABC):
    """The suite. pytest collects the subclasses whose names begin with ``Test``."""

    format: ClassVar[str]
    labelled: ClassVar[bool] = True
    examples: ClassVar[int] = 60

    @abstractmethod
    def write(self, folder: Path) -> Path:
        """Write a sound set of at least two pictures, each a file of its own, and give what ``open_data`` takes."""

    def add_label(self, spec: Path) -> None:
        """Say one thing more about a picture of it; asked only where ``labelled``."""
        raise AssertionError(f"{self.format} knows what is on pictures: say in add_label how one more thing is said")

    def test_it_describes_itself(self) -> None:
        plugin = FORMATS.get(self.format)
        assert plugin.summary
        assert "rank" in plugin.facts

    def test_it_knows_its_own_and_nothing_else(self, tmp_path: Path) -> None:
        spec = self.write(tmp_path / "set")
        assert format_of(spec) == self.format
        (tmp_path / "empty").mkdir()
        (tmp_path / "notes.txt").write_text("nothing to see here\n")
        (tmp_path / "noise").write_bytes(np.random.default_rng(1).bytes(5000))
        mine = cast("DataFormat", FORMATS.make(self.format))
        for other in ("empty", "notes.txt", "noise", "absent"):
            assert not mine.recognises(tmp_path / other), other

    def test_a_sound_set_opens_and_has_no_severe_problem(self, tmp_path: Path) -> None:
        spec = self.write(tmp_path / "set")
        data = open_data(spec)
        assert data.format == self.format
        assert len(data) >= 2
        assert [str(problem) for problem in check_data(spec) if problem.severe] == []

    def test_no_two_samples_are_called_alike_and_their_order_stays(self, tmp_path: Path) -> None:
        spec = self.write(tmp_path / "set")
        names = [sample.name for sample in open_data(spec)]
        assert len(set(names)) == len(names)
        assert [sample.name for sample in open_data(spec)] == names
        assert all(sample.group for sample in open_data(spec))

    def test_truth_fits_its_picture_and_its_labels(self, tmp_path: Path) -> None:
        data = open_data(self.write(tmp_path / "set"))
        for sample in data:
            picture = sample.read()
            assert picture.dtype == np.uint8
            assert picture.shape[2:] == (3,)
            assert (sample.truth is not None) == self.labelled
            if sample.truth is None:
                continue
            assert sample.truth.labels == data.labels
            assert sample.truth.masks is None or sample.truth.masks.size == picture.shape[:2]
            assert bool(((sample.truth.class_id >= 0) & (sample.truth.class_id < len(data.labels))).all())
            assert bool((sample.truth.confidence == 1).all())
            assert bool(np.isfinite(sample.truth.xyxy).all())
        assert (data.task is not None) == self.labelled

    def test_the_hash_names_the_data_and_not_their_place(self, tmp_path: Path) -> None:
        spec = self.write(tmp_path / "set")
        elsewhere = tmp_path / "other" / "place" / "set"
        shutil.copytree(tmp_path / "set", elsewhere)
        moved = elsewhere / spec.relative_to(tmp_path / "set")
        assert open_data(moved).sha256 == open_data(spec).sha256
        assert len(open_data(spec).sha256) == 64

    def test_another_label_is_another_hash(self, tmp_path: Path) -> None:
        if not self.labelled:
            return
        spec = self.write(tmp_path / "set")
        before = open_data(spec)
        self.add_label(spec)
        after = open_data(spec)
        assert after.sha256 != before.sha256
        assert [one.sha256 for one in after] == [one.sha256 for one in before] or len(after) != len(before)

    def test_another_picture_is_another_hash(self, tmp_path: Path) -> None:
        spec = self.write(tmp_path / "set")
        before = open_data(spec)
        for path in self._pictures(tmp_path / "set"):
            path.write_bytes(path.read_bytes() + b"\0")
        assert open_data(spec).sha256 != before.sha256

    def test_a_picture_cut_short_is_named_and_the_set_refused(self, tmp_path: Path) -> None:
        spec = self.write(tmp_path / "set")
        for path in self._pictures(tmp_path / "set"):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        found = [problem for problem in check_data(spec) if problem.severe]
        assert {problem.kind for problem in found} == {"image unreadable"}
        assert len(found) == len(self._pictures(tmp_path / "set"))
        try:
            open_data(spec)
        except InputError as error:
            refused = error.problem
        else:
            refused = ""
        assert "must be mended" in refused

    def test_whatever_its_files_hold_it_never_breaks(self) -> None:
        from hypothesis import given, settings
        from hypothesis import strategies as some

        with tempfile.TemporaryDirectory() as name:
            spec = self.write(Path(name) / "set")
            texts = {
                path: path.read_bytes()
                for path in sorted((Path(name) / "set").rglob("*"))
                if path.is_file() and path.suffix.lower() not in SUFFIXES
            }
            if not texts:
                return
            token = some.sampled_from(
                [b"-", b"9999999", b"nan", b"1e400", b"\n", b"{", b"[", b":", b",", b"\xff", b"\0"]
            )

            @settings(max_examples=self.examples, deadline=None, derandomize=True)
            @given(some.sampled_from(sorted(texts)), some.floats(0, 1), some.integers(0, 40), token)
            def hold(path: Path, where: float, cut: int, put: bytes) -> None:
                whole = texts[path]
                at = int(where * len(whole))
                path.write_bytes(whole[:at] + put + whole[at + cut :])
                try:
                    check_data(spec)
                    open_data(spec)
                except InputError as error:
                    assert error.problem
                finally:
                    path.write_bytes(whole)

            hold()

    def _pictures(self, folder: Path) -> list[Path]:
        return [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
