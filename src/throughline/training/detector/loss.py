"""What a detector that answers at every point of a grid is told about its mistakes.

Task-aligned assignment (TOOD), distributions over distances (generalised focal loss), complete IoU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

_POINTS: Final = 10
"""Each object takes so many points that classify and place it best."""
_NARROWEST: Final = 5.0
"""An object counts as at least twice this wide and high, in pixels, when points inside of it are looked for."""


def detection_loss(
    raw: Sequence[torch.Tensor], boxes: torch.Tensor, kinds: torch.Tensor, strides: Sequence[int], bins: int
) -> torch.Tensor:
    """One number that falls as the answers become right.

    Args:
        raw: for each stride b x (4 * bins + classes) x rows x columns.
        boxes: b x most x 4, in pixels of the input: x1 y1 x2 y2.
        kinds: b x most, the class of each box; -1 where there is none.
        strides: of each level, in order.
        bins: how many distances a side is a distribution over.
    """
    import torch
    from torch.nn import functional

    answer = torch.cat([level.float().flatten(2) for level in raw], 2).transpose(1, 2)
    points, steps = _grid(raw, strides)
    sides, logits = answer.split((4 * bins, answer.shape[2] - 4 * bins), 2)
    sides = sides.reshape(*sides.shape[:2], 4, bins)
    distance = (sides.softmax(3) * torch.arange(bins, dtype=torch.float32, device=sides.device)).sum(3) * steps
    found = torch.cat((points - distance[..., :2], points + distance[..., 2:]), 2)
    chosen, target, quality = _assign(logits.detach().sigmoid(), found.detach(), boxes, kinds, points)
    total = quality.sum().clamp(min=1)
    score = functional.binary_cross_entropy_with_logits(logits, quality, reduction="sum") / total
    weight, real = quality.sum(2)[chosen], target[chosen]
    place = ((1 - _overlap(found[chosen], real, complete=True)) * weight).sum() / total
    centres, step = points.expand_as(found[..., :2])[chosen], steps.expand(*chosen.shape, 1)[chosen]
    wanted = torch.cat((centres - real[:, :2], real[:, 2:] - centres), 1) / step
    wanted = wanted.clamp(0, bins - 1.01)
    lower = wanted.long()
    share, spread = wanted - lower, sides[chosen].log_softmax(2)
    near, far = spread.gather(2, lower[..., None])[..., 0], spread.gather(2, lower[..., None] + 1)[..., 0]
    shape = (-(near * (1 - share) + far * share).mean(1) * weight).sum() / total
    return 0.5 * score + 7.5 * place + 1.5 * shape


def _grid(raw: Sequence[torch.Tensor], strides: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The centre of every point, in pixels of the input, and its stride."""
    import torch

    points, steps = [], []
    for level, stride in zip(raw, strides, strict=True):
        lines = (torch.arange(size, device=level.device) + 0.5 for size in level.shape[2:])
        y, x = torch.meshgrid(*lines, indexing="ij")
        points.append(torch.stack((x, y), -1).view(-1, 2) * stride)
        steps.append(torch.full((len(points[-1]), 1), float(stride), device=level.device))
    return torch.cat(points), torch.cat(steps)


def _assign(
    scores: torch.Tensor, found: torch.Tensor, boxes: torch.Tensor, kinds: torch.Tensor, points: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Which points answer for an object, for which box, and how sure they should be of each class."""
    import torch
    from torch.nn import functional

    with torch.no_grad():
        real = kinds >= 0
        middle = (boxes[..., :2] + boxes[..., 2:]) / 2
        half = ((boxes[..., 2:] - boxes[..., :2]) / 2).clamp(min=_NARROWEST)
        inside = ((points - middle[:, :, None]).abs() < half[:, :, None]).all(-1) & real[..., None]
        iou = _overlap(found[:, None], boxes[:, :, None]) * inside
        own = scores.transpose(1, 2).gather(1, kinds.clamp(min=0)[..., None].expand(-1, -1, scores.shape[1]))
        fit = own.sqrt() * iou**6 * inside
        best = torch.zeros_like(inside).scatter_(2, fit.topk(_POINTS, dim=2).indices, True) & inside
        mine = torch.zeros_like(best).scatter_(1, (iou * best).argmax(1, keepdim=True), True) & best
        fit = fit * mine
        scale = (iou * mine).amax(2, keepdim=True) / (fit.amax(2, keepdim=True) + 1e-9)
        owner, chosen = mine.long().argmax(1), mine.any(1)
        quality = (fit * scale).amax(1)
        kind = kinds.clamp(min=0).gather(1, owner)
        spread = functional.one_hot(kind, scores.shape[2]) * (quality * chosen)[..., None]
        return chosen, boxes.gather(1, owner[..., None].expand(-1, -1, 4)), spread


def _overlap(a: torch.Tensor, b: torch.Tensor, complete: bool = False) -> torch.Tensor:
    """Intersection over union of boxes x1 y1 x2 y2; the complete form also minds centres and proportions."""
    import torch

    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inner = (high - low).clamp(min=0).prod(-1)
    sa, sb = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    iou = inner / (sa.prod(-1) + sb.prod(-1) - inner + 1e-7)
    if not complete:
        return iou
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    apart = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) ** 2).sum(-1) / 4
    lean = torch.atan(sb[..., 0] / (sb[..., 1] + 1e-7)) - torch.atan(sa[..., 0] / (sa[..., 1] + 1e-7))
    lean = lean**2 * (4 / torch.pi**2)
    with torch.no_grad():
        weight = lean / (lean - iou + 1 + 1e-7)
    return iou - apart / ((hull**2).sum(-1) + 1e-7) - weight * lean
