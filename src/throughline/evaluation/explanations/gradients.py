"""Where a network looks, told by its own gradients: which features the score hangs on, and where they are.

One pass forward and one back for each thing, so it is finer and far quicker than hiding places; but it needs the
network itself, so only PyTorch networks that are built here have it. The map is LayerCAM's (Jiang et al., 2021): each
feature times how the score rises with it, place by place, where that is positive. Features are taken where
convolutions read them, at the last reading of each resolution, and the resolutions count alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from throughline.contracts.artifacts import Artifact
from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.evaluation.explanations.occlusion import Heat, Looked, Picture
from throughline.models import passport as passports
from throughline.models.backends.torch import named
from throughline.vision.detector import Detector
from throughline.vision.letterbox import Letterbox

if TYPE_CHECKING:
    import torch

GRADIENTS: Final = "gradients"
_SAME: Final = 1e-5
_WEIGHTS: Final = ("safetensors", "checkpoint")


def network_of(artifact: Artifact, class_: str | None, trust: bool) -> torch.nn.Module | None:
    """The network of a state dict, on the CPU; None for every other model."""
    if class_ is None or artifact.format not in _WEIGHTS:
        return None
    from throughline.models.loading import architecture, check, load_state_dict
    from throughline.models.loading.architectures import fill

    check(artifact.path, trust=trust, passport_holds=passports.vouched(artifact))
    return fill(architecture(class_), load_state_dict(artifact.path, trust=trust).tensors).eval().requires_grad_(False)


def where_gradients_point(
    network: torch.nn.Module, detector: Detector, picture: Picture, most: int = 3
) -> list[Looked]:
    """Where the surest things that a network finds come from, by its gradients.

    Args:
        network: whose gradients are asked.
        detector: of the same network, ready for pictures of this size.
        picture: height x width x 3, RGB.
        most: how many things. Left out is what cannot be followed back: whose confidence is no number of the output.
    """
    import torch

    batch = detector.buffer(1)
    fits = detector.fill(batch, [Frame(0, 0.0, picture, "")])
    read: list[Any] = []

    def kept(_: Any, given: tuple[Any, ...]) -> None:
        if given and given[0].ndim == 4 and given[0].requires_grad:
            read.append(given[0])

    hooks = [one.register_forward_pre_hook(kept) for one in network.modules() if isinstance(one, torch.nn.Conv2d)]
    try:
        with torch.enable_grad():
            feeds = [torch.from_numpy(array.copy()) for array in detector.inputs_for(batch).values()]
            outputs = named(network(feeds[0].requires_grad_(), *feeds[1:]), detector.predictor.outputs)
    finally:
        for hook in hooks:
            hook.remove()
    features = [one for one in read if one is not feeds[0]]
    found = detector.read({name: one.detach().numpy() for name, one in outputs.items()}, fits)[0]
    surest = found[np.argsort(-found.confidence, kind="stable")[:most]]
    looks = []
    for row in range(len(surest)):
        score = _score(outputs, surest, row)
        if score is not None and features:
            looks.append(_looked(surest, row, _heat(score, features, picture, detector.canvas, fits[0])))
    return looks


def _score(outputs: dict[str, Any], found: Detections, row: int) -> Any:
    """The number of the output that a confidence was read from; None where there is none."""
    confidence, kind = float(found.confidence[row]), int(found.class_id[row])
    for one in outputs.values():
        if found.of_frame[row] and one.ndim == 2 and one.shape[0] == 1 and kind < one.shape[1]:
            return one[0, kind]
        if not one.is_floating_point() or not one.requires_grad:
            continue
        for told in (one, one.sigmoid()):
            off = (told.detach() - confidence).abs().flatten()
            if float(off.min()) <= _SAME:
                return one.flatten()[int(off.argmin())]
    return None


def _heat(score: Any, features: list[Any], picture: Picture, canvas: tuple[int, int], fit: Letterbox) -> Heat:
    import cv2
    import torch

    slopes = torch.autograd.grad(score, features, retain_graph=True, allow_unused=True)
    last: dict[tuple[int, int], Heat] = {}
    for feature, slope in zip(features, slopes, strict=True):
        if slope is None:
            continue
        here = (slope * feature).clamp(min=0).sum(1)[0].detach().numpy()
        if np.count_nonzero(here) > 1:  # one place alone is where the score is told, not what it hangs on
            last[here.shape] = here / here.max()
    height, width = picture.shape[:2]
    heat = np.zeros(canvas, np.float32)
    for here in last.values():
        heat += cv2.resize(here, (canvas[1], canvas[0]), interpolation=cv2.INTER_LINEAR) / len(last)
    corners = fit.to_canvas(np.array([[0, 0, width, height]], np.float32))[0]
    x1, y1, x2, y2 = (round(float(side)) for side in corners)
    inside = np.ascontiguousarray(heat[max(0, y1) : y2, max(0, x1) : x2])
    made: Heat = cv2.resize(inside, (width, height), interpolation=cv2.INTER_LINEAR)
    return made


def _looked(found: Detections, row: int, heat: Heat) -> Looked:
    x1, y1, x2, y2 = map(float, found.xyxy[row])
    box = None if found.of_frame[row] else (x1, y1, x2, y2)
    return Looked(found.name_of(int(found.class_id[row])), float(found.confidence[row]), box, heat, GRADIENTS)
