"""ONNX and OpenVINO graphs: nothing outside their folder, nothing absurd, and never the end of this process."""

from __future__ import annotations

import time
from pathlib import Path

import hostile_graphs
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.identify import check_labels, identify
from throughline.models.loading import check
from throughline.models.loading.onnx_guard import check_onnx
from throughline.models.loading.probe import probe_in_child


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder beside something that a model has no business with."""
    (tmp_path / "secret.bin").write_bytes(b"s" * 16)
    inside = tmp_path / "models"
    inside.mkdir()
    return inside


@pytest.mark.parametrize("name", hostile_graphs.REACHING)
def test_data_outside_the_model_is_refused_wherever_it_is_named(name: str, folder: Path) -> None:
    path = hostile_graphs.REACHING[name](folder)
    with pytest.raises(ModelRefused, match="the tensor '"):
        check(path, trust=True, passport_holds=True)
    # Whoever reads or hashes what belongs to the model must not be led elsewhere either.
    assert all(file.parent == folder and not file.is_symlink() for file in identify(path).files)


def test_plain_data_beside_the_model_is_accepted(folder: Path) -> None:
    (folder / "w.bin").write_bytes(np.arange(8, dtype=np.float32).tobytes())
    proto = hostile_graphs.model(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [hostile_graphs.outside("w.bin", offset="16", length="16")],
    )
    description = check(hostile_graphs.saved(folder, proto))
    assert description.files == (folder / "m.onnx", folder / "w.bin")


def test_data_that_is_not_there_is_one_clear_error(folder: Path) -> None:
    path = hostile_graphs.saved(folder, hostile_graphs.model(None, [hostile_graphs.outside("gone.bin")]))
    with pytest.raises(InputError, match=r"gone\.bin, which is not there"):
        check(path)


@pytest.mark.parametrize("name", hostile_graphs.GREEDY)
def test_absurd_memory_is_refused_with_the_number(name: str, folder: Path) -> None:
    with pytest.raises(ModelRefused, match=r"asks for absurd memory: .* takes \d[\d,]+ bytes"):
        check_onnx(hostile_graphs.GREEDY[name](folder))


def test_memory_that_no_number_gives_away_ends_the_child_and_not_us(folder: Path) -> None:
    path = hostile_graphs.memory_only_seen_at_work(folder, 1 << 31)
    check_onnx(path)
    with pytest.raises(ModelRefused, match="asked for more than 2,147,483,648 bytes"):
        probe_in_child(identify(path), memory_limit=2 << 30)


def test_the_same_graph_with_a_sane_size_passes(folder: Path) -> None:
    check(hostile_graphs.memory_only_seen_at_work(folder, 1 << 12))


def test_a_model_compiled_for_one_device_is_a_program(folder: Path) -> None:
    nodes = [helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context="../secret.bin")]
    opsets = [*hostile_graphs.OPSET, helper.make_opsetid("com.microsoft", 1)]
    with pytest.raises(ModelRefused, match="compiled for one device"):
        check(hostile_graphs.saved(folder, hostile_graphs.model(nodes, opset_imports=opsets)))


def test_data_beside_a_link_to_a_model_is_refused(folder: Path) -> None:
    (folder / "w.bin").write_bytes(bytes(16))
    path = hostile_graphs.saved(folder, hostile_graphs.model(None, [hostile_graphs.outside("w.bin", length="16")]))
    check(path)
    (folder / "link.onnx").symlink_to(path)
    with pytest.raises(ModelRefused, match="symbolic link"):
        check(folder / "link.onnx")


def test_absurdly_many_dimensions_take_no_time(folder: Path) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 62] * 500_000)
    path = hostile_graphs.saved(folder, hostile_graphs.model(None, [tensor]))
    start = time.process_time()
    with pytest.raises(InputError, match="impossible shape"):
        check(path)
    assert time.process_time() - start < 10


def test_unknown_operators_are_named(folder: Path) -> None:
    with pytest.raises(ModelRefused, match=r"'Exec' of the domain 'com\.example'.*library"):
        check(hostile_graphs.custom_operator(folder))


def test_a_tensor_shorter_than_its_shape_is_damaged(folder: Path) -> None:
    with pytest.raises(InputError, match=r"needs 4,398,046,511,104 bytes and holds 16"):
        check(hostile_graphs.declared_but_not_held(folder))


def test_nesting_and_empty_parts_cannot_exhaust_the_reader(folder: Path) -> None:
    with pytest.raises((InputError, ModelRefused)):
        identify(hostile_graphs.deeply_nested(folder))
    start = time.process_time()
    with pytest.raises(ModelRefused, match="made to exhaust memory"):
        identify(hostile_graphs.millions_of_nothings(folder))
    assert time.process_time() - start < 20


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int8, np.uint8, np.int64, np.bool_, np.float64])
@pytest.mark.parametrize("raw", [True, False])
def test_every_honest_way_to_hold_a_tensor_is_accepted(kind: type, raw: bool, folder: Path) -> None:
    array = np.ones((2, 3), kind)
    tensor = (
        numpy_helper.from_array(array, "w")
        if raw
        else helper.make_tensor("w", helper.np_dtype_to_tensor_dtype(np.dtype(kind)), [2, 3], array.flatten().tolist())
    )
    check_onnx(hostile_graphs.saved(folder, hostile_graphs.model(None, [tensor])))


@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.UINT4, TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN])
def test_small_types_are_measured_rightly(kind: int, folder: Path) -> None:
    tensor = helper.make_tensor("w", kind, [5], [1, 2, 3, 1, 2])
    check_onnx(hostile_graphs.saved(folder, hostile_graphs.model(None, [tensor])))


def test_labels_that_contradict_the_outputs(folder: Path) -> None:
    head = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 24, 8400])
    proto = hostile_graphs.model()
    proto.graph.output[0].CopyFrom(head)
    names = {number: f"c{number}" for number in range(80)}
    for key, value in {"names": repr(names), "task": "detect", "stride": "32"}.items():
        proto.metadata_props.add(key=key, value=value)
    description = identify(hostile_graphs.saved(folder, proto))
    assert description.decoder == "yolo"
    with pytest.raises(InputError, match=r"80 labels.*room for 20 classes"):
        check_labels(description, description.labels)
    check_labels(description, [f"c{number}" for number in range(20)])


@pytest.mark.parametrize("name", hostile_graphs.IRS)
def test_an_ir_that_is_not_what_it_says_is_refused(name: str, folder: Path) -> None:
    with pytest.raises(ModelRefused):
        check(hostile_graphs.IRS[name](folder), trust=True, passport_holds=True)


def test_an_honest_ir_is_accepted(folder: Path) -> None:
    assert check(hostile_graphs.ir(folder)).format == "openvino"


def test_an_ir_without_its_weights_is_one_clear_error(folder: Path) -> None:
    path = hostile_graphs.ir(folder)
    (folder / "m.bin").unlink()
    with pytest.raises(InputError, match=r"m\.bin, which is not there"):
        check(path)


def test_a_graph_that_the_runtime_rejects_is_an_input_error(folder: Path) -> None:
    path = hostile_graphs.saved(folder, hostile_graphs.model([helper.make_node("Add", ["x"], ["y"])]))
    with pytest.raises(InputError, match="cannot be opened"):
        check(path)
    assert onnx.load(path).graph.node[0].op_type == "Add"
