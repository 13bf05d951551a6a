"""The bundled detector is what its files say: one network in every form, and it sees the street."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from throughline.bundled import DETECTOR, WEIGHTS
from throughline.testing.demo_detector import CLASSES, build
from throughline.testing.world import LABELS, World

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
safetensors_torch = pytest.importorskip("safetensors.torch")


@pytest.fixture(scope="module")
def network() -> object:
    """The architecture with the bundled weights in it, none missing and none to spare."""
    network = build()
    network.load_state_dict(safetensors_torch.load_file(WEIGHTS), strict=True)
    return network.eval()


@pytest.fixture(scope="module")
def session() -> object:
    return onnxruntime.InferenceSession(DETECTOR.read_bytes(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("shape", [(1, 3, 384, 640), (3, 3, 64, 96), (2, 3, 256, 256)])
def test_onnx_and_torch_give_the_same_answer(network: object, session: object, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(1).random(shape, np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    (answer,) = session.run(["output0"], {"images": images})
    points = sum((shape[2] // stride) * (shape[3] // stride) for stride in (8, 16, 32))
    assert answer.shape == expected.shape == (shape[0], 4 + CLASSES, points)
    assert np.allclose(answer[:, :4], expected[:, :4], atol=2e-2)
    assert np.allclose(answer[:, 4:], expected[:, 4:], atol=1e-4)
    assert (answer[:, 4:] >= 0).all()
    assert (answer[:, 4:] <= 1).all()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_traced_and_exported_programs_follow_any_size(network: object, tmp_path: Path) -> None:
    rows, columns = torch.export.Dim("rows", min=2, max=64), torch.export.Dim("columns", min=2, max=64)
    sizes = ({0: torch.export.Dim("batch", min=1, max=64), 2: 32 * rows, 3: 32 * columns},)
    exported = torch.export.export(network, (torch.rand(2, 3, 96, 128),), dynamic_shapes=sizes)
    torch.export.save(exported, tmp_path / "detector.pt2")
    traced = torch.jit.trace(network, torch.rand(1, 3, 64, 64))
    images = torch.rand(3, 3, 128, 160)
    with torch.no_grad():
        expected = network(images)
        assert torch.allclose(torch.export.load(tmp_path / "detector.pt2").module()(images), expected, atol=1e-4)
        assert torch.allclose(traced(images), expected, atol=1e-4)


def test_onnx_says_what_exporters_say() -> None:
    model = onnx.load(DETECTOR)
    onnx.checker.check_model(model, full_check=True)
    said = {each.key: each.value for each in model.metadata_props}
    assert said["names"] == str(dict(enumerate(LABELS)))
    assert (said["task"], said["stride"], said["imgsz"]) == ("detect", "32", "[384, 640]")
    assert said["license"] == "Apache-2.0"
    shapes = [
        [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    ]
    assert shapes == [["batch", 3, "height", "width"], ["batch", 4 + CLASSES, "anchors"]]
    assert DETECTOR.stat().st_size <= 3_000_000
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node), "it must not name our machine"


def test_it_sees_a_street_it_has_never_seen(session: object) -> None:
    seen = everyone = claims = wrong = 0
    for seed in (501, 502, 503):
        frame, truth = World(seed).frame(70)
        (answer,) = session.run(None, {"images": cv2.dnn.blobFromImage(frame.image, 1 / 255)})
        scores, kinds = answer[0, 4:].max(0), answer[0, 4:].argmax(0)
        sure = scores > 0.5
        centre, size, kinds = answer[0, :2, sure], answer[0, 2:4, sure], kinds[sure]
        boxes = np.hstack((centre - size / 2, centre + size / 2))
        found = truth.detections
        low = np.maximum(boxes[:, None, :2], found.xyxy[None, :, :2])
        inner = (np.minimum(boxes[:, None, 2:], found.xyxy[None, :, 2:]) - low).clip(0).prod(2)
        area = (found.xyxy[:, 2:] - found.xyxy[:, :2]).prod(1)
        overlap = inner / (size.prod(1)[:, None] + area - inner)
        match = (overlap > 0.5) & (kinds[:, None] == found.class_id[None])
        plain = (found.data["visibility"] > 0.7) & (area > 600)
        everyone, seen = everyone + int(plain.sum()), seen + int(match.any(0)[plain].sum())
        claims, wrong = claims + len(boxes), wrong + int((~match.any(1)).sum())
    assert everyone > 20
    assert seen / everyone > 0.8
    assert wrong / claims < 0.15
