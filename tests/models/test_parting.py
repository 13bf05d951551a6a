"""The first layer at which two graphs part, whatever was done to names and nodes in between."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

sys.path.append(str(Path(__file__).parents[1] / "faults"))

import architectures
from conversions import _optimised, _renamed, feeds_of
from edits import edited, set_weights

from throughline.contracts.errors import InputError
from throughline.models.inside import look_inside
from throughline.models.overflow import overflows
from throughline.models.parting import distance, first_parting, paired
from throughline.models.transforms import TRANSFORMS

ONE = {"images": np.random.default_rng(0).random((1, 3, 64, 64), np.float32)}
LAYERS = {"down1": "down1.weight", "up1": "up1.weight", "join1": "join1.bias", "regions": "regions.weight"}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    "change", [lambda model: model, _renamed, _optimised], ids=["as it is", "renamed", "optimised"]
)
def test_the_layer_is_found_under_other_names_and_in_another_graph(tmp_path: Path, layer: str, change: object) -> None:
    reference = architectures.segmenter(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    wrong = edited(reference, other, lambda m: set_weights(m, LAYERS[layer], lambda w: w * 1.5))
    onnx.save(change(onnx.load(wrong.path)), other / "changed.onnx")  # type: ignore[operator]
    assert first_parting(reference.path, other / "changed.onnx", [ONE]).layer == layer


@pytest.mark.parametrize("layer", ["down1", "join1"])
def test_the_layer_is_found_in_an_openvino_graph(tmp_path: Path, layer: str) -> None:
    reference = architectures.segmenter(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    wrong = edited(reference, other, lambda m: set_weights(m, LAYERS[layer], lambda w: w * 1.5))
    TRANSFORMS.make("openvino", wrong, other / "wrong.xml")
    found = first_parting(reference.path, other / "wrong.xml", [ONE])
    assert layer in (found.layer, *found.between)


def test_the_layer_is_found_among_eight_bits(tmp_path: Path) -> None:
    reference = architectures.segmenter(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    wrong = edited(reference, other, lambda m: set_weights(m, "join1.weight", lambda w: -w))
    TRANSFORMS.make("int8", wrong, other / "int8.onnx", feeds=feeds_of(reference), sensitive="none")
    found = first_parting(reference.path, other / "int8.onnx", [ONE], "int8")
    assert "join1" in (found.layer, *found.between)
    assert "first at" in str(found)


def test_graphs_that_do_the_same_do_not_part(tmp_path: Path) -> None:
    reference = architectures.segmenter(tmp_path)
    found = first_parting(reference.path, reference.path, [ONE])
    assert found.layer == ""
    assert "the difference is outside of them" in str(found)


def test_every_layer_has_a_partner_after_renaming(tmp_path: Path) -> None:
    reference = architectures.classifier(tmp_path)
    onnx.save(_renamed(onnx.load(reference.path)), tmp_path / "renamed.onnx")
    one, other = look_inside(reference.path), look_inside(tmp_path / "renamed.onnx")
    assert len(paired(one, other)) == len(one.layers)


def test_what_cannot_be_looked_into_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be looked into"):
        look_inside(tmp_path / "model.engine")


def test_distance_is_a_share_of_the_size() -> None:
    one = np.array([3.0, 4.0], np.float32)
    assert distance(one, one) == 0
    assert distance(one, one * 1.1) == pytest.approx(0.1, rel=1e-3)
    assert distance(one, np.array([np.inf, 4.0], np.float32)) == np.inf
    assert distance(one, np.zeros(3, np.float32)) == np.inf
    assert distance(np.zeros(2, np.float32), np.zeros(2, np.float32)) == 0


def test_halves_that_overflow_are_found_on_a_processor_that_hides_it(tmp_path: Path) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    reference = architectures.segmenter(tmp_path)
    model = onnx.load(reference.path)
    set_weights(model, "down1.bias", lambda b: b + 60_000)
    set_weights(model, "down1.weight", lambda w: w * 9_000)
    halved = convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True, max_finite_val=65504)
    onnx.save(halved, tmp_path / "half.onnx")
    assert overflows(tmp_path / "half.onnx", [ONE])[0].layer == "down1"
    TRANSFORMS.make("half", reference, tmp_path / "right.onnx", feeds=feeds_of(reference))
    assert overflows(tmp_path / "right.onnx", [ONE]) == []
