"""The bundled detector is what its passport says, on every backend of this machine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import openvino
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from safetensors.torch import load_file

from throughline.bundled import DETECTOR, WEIGHTS
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.models.session import Session, open_model
from throughline.testing.demo_detector import build
from throughline.testing.world import LABELS, World
from throughline.vision.decoders import DECODERS
from throughline.vision.letterbox import Letterbox

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")

FACTORY = "throughline.testing.demo_detector:build"
FIT = Letterbox.fit((384, 640), (384, 640))
FORMS = ["onnxruntime", "openvino", "openvino IR", "torch", "torch .pt2", "torchscript"]


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Session]]:
    """The same weights, opened by every backend in every form that it takes."""
    folder = tmp_path_factory.mktemp("forms")
    network = build().eval()
    network.load_state_dict(load_file(WEIGHTS))
    example = torch.zeros(2, 3, 384, 640)
    with torch.no_grad():
        torch.jit.trace(network, example).save(folder / "detector.torchscript")
        exported = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch", max=64)},))
    torch.export.save(exported, folder / "detector.pt2")
    openvino.save_model(openvino.convert_model(DETECTOR), folder / "detector.xml", compress_to_fp16=False)
    opened = {
        "onnxruntime": open_model(DETECTOR, backend="onnxruntime", device="cpu"),
        "openvino": open_model(DETECTOR, backend="openvino", device="cpu"),
        "openvino IR": open_model(folder / "detector.xml", device="cpu"),
        "torch": open_model(WEIGHTS, device="cpu", class_=FACTORY),
        "torch .pt2": open_model(folder / "detector.pt2", device="cpu", trust=True),
        "torchscript": open_model(folder / "detector.torchscript", device="cpu", trust=True),
    }
    yield opened
    for session in opened.values():
        session.close()


def pictures(seeds: list[int]) -> np.ndarray:
    batch = np.empty((len(seeds), 3, 384, 640), np.float32)
    for slot, seed in zip(batch, seeds, strict=True):
        FIT.apply(World(seed).frame(60)[0].image, slot)
    return batch


def test_it_is_small_ours_to_ship_and_carries_its_proof() -> None:
    assert DETECTOR.stat().st_size <= 3_000_000
    model = read_artifact(DETECTOR)
    assert model.issued, "a passport lies beside it and matches"
    assert model.labels == LABELS
    assert (model.task, model.passport.decoder, model.passport.imgsz) == ("detect", "yolo", (384, 640))
    assert model.passport.licence == "Apache-2.0"
    (proof,) = model.passport.evidence
    assert proof.passed
    assert proof.subjects == (model.sha256,)
    figures = {check.name: check.observed for check in proof.checks}
    assert figures["mAP50-95 on unseen streets"] >= 0.60
    weights = passports.read(WEIGHTS)
    assert weights is not None
    passports.verify(WEIGHTS, weights)
    assert model.passport.parent == weights.sha256


@pytest.mark.parametrize("form", FORMS)
def test_every_backend_gives_the_same_answers(form: str, forms: dict[str, Session]) -> None:
    images = pictures([9_001, 9_002])
    (reference,) = forms["onnxruntime"].predict({"images": images}).values()
    (answer,) = forms[form].predict({forms[form].inputs[0].name: images}).values()
    assert answer.shape == reference.shape
    np.testing.assert_allclose(answer[:, :4], reference[:, :4], atol=0.05)  # pixels
    np.testing.assert_allclose(answer[:, 4:], reference[:, 4:], atol=1e-3)  # scores
    options = {"labels": LABELS, "conf": 0.25, "iou": 0.7, "max_det": 300}
    decode = DECODERS.make("yolo")
    for here, there in zip(
        decode({"output0": answer}, [FIT, FIT], **options),
        decode({"output0": reference}, [FIT, FIT], **options),
        strict=True,
    ):
        assert len(here) == len(there) > 0
        np.testing.assert_array_equal(here.class_id, there.class_id)


def test_it_finds_what_is_on_streets_it_has_never_seen(forms: dict[str, Session]) -> None:
    """A short version of the measurement in its passport: fewer frames, so a lower bar."""
    images, annotations, results = [], [], []
    decode = DECODERS.make("yolo")
    for seed in range(9_000, 9_030):
        frame, truth = World(seed).frame(seed % 97)
        batch = np.empty((1, 3, 384, 640), np.float32)
        FIT.apply(frame.image, batch[0])
        (found,) = decode(
            forms["onnxruntime"].predict({"images": batch}), [FIT], labels=LABELS, conf=0.001, iou=0.7, max_det=100
        )
        images.append({"id": seed, "width": 640, "height": 384})
        for real in truth.detections:
            x1, y1, x2, y2 = real.bbox
            box = [x1, y1, x2 - x1, y2 - y1]
            fields = {
                "image_id": seed,
                "category_id": real.class_id,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            annotations.append({"id": len(annotations) + 1, **fields})
        for one in found:
            x1, y1, x2, y2 = one.bbox
            box = [x1, y1, x2 - x1, y2 - y1]
            results.append({"image_id": seed, "category_id": one.class_id, "bbox": box, "score": one.confidence})
    truth_set = COCO()
    truth_set.dataset = {
        "info": {},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(LABELS)],
    }
    truth_set.createIndex()
    judge = COCOeval(truth_set, truth_set.loadRes(results), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    assert judge.stats[0] >= 0.55


def test_it_was_measured_on_streets_it_was_not_trained_on() -> None:
    steps = {step.name: step.options for step in read_artifact(DETECTOR).passport.steps}
    (first, last), measured = steps["train"]["streets"], steps["measure"]
    assert not set(range(first, last + 1)) & set(range(measured["streets"][0], measured["streets"][1] + 1))
    assert measured["frames"] >= 300
