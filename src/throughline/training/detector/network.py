"""The shape of the bundled detector: small enough for a processor, and able to find as many classes as it is told.

It takes RGB images from 0 to 1 and returns boxes and class scores in the layout that YOLO exports
have, with the decoding inside, so that whatever reads those reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from throughline.training.detector.loss import detection_loss

if TYPE_CHECKING:
    import torch

STRIDES: Final = (8, 16, 32)
BINS: Final = 16
"""A side of a box is a distribution over so many distances, in strides."""


def build(classes: int, width: float = 1.0) -> torch.nn.Module:
    """The untrained detector for so many classes: ``images`` b x 3 x h x w in, b x (4 + classes) x n out.

    Each column of the answer is a box as centre, width and height in pixels of the input,
    and a score from 0 to 1 for every class. While it is training it returns the
    raw distributions and scores of each stride instead.

    Args:
        classes: how many there are.
        width: how many channels every layer has, as a share of the bundled file's.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    def conv(inside: int, outside: int, size: int = 3, stride: int = 1, groups: int = 1) -> Any:
        return nn.Sequential(
            nn.Conv2d(inside, outside, size, stride, size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outside, eps=1e-3, momentum=0.03),
            nn.ReLU(inplace=True),
        )

    def light(channels: int, stride: int = 1) -> Any:
        return nn.Sequential(conv(channels, channels, 5, stride, groups=channels), conv(channels, channels, 1))

    class Stage(nn.Module):  # type: ignore[misc]
        """Half of the channels go through residual steps, and every stop on the way is kept."""

        def __init__(self, channels: int, steps: int) -> None:
            super().__init__()
            half = channels // 2
            self.split = conv(channels, channels, 1)
            self.steps = nn.ModuleList(nn.Sequential(conv(half, half), conv(half, half)) for _ in range(steps))
            self.merge = conv(half * (steps + 2), channels, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            kept, moving = self.split(x).chunk(2, 1)
            stops = [kept, moving]
            for step in self.steps:
                moving = moving + step(moving)
                stops.append(moving)
            return self.merge(torch.cat(stops, 1))

    class Context(nn.Module):  # type: ignore[misc]
        """Looks around at ever larger neighbourhoods."""

        def __init__(self, channels: int) -> None:
            super().__init__()
            self.narrow = conv(channels, channels // 2, 1)
            self.merge = conv(channels * 2, channels, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            views = [self.narrow(x)]
            for _ in range(3):
                views.append(functional.max_pool2d(views[-1], 5, 1, 2))
            return self.merge(torch.cat(views, 1))

    class Head(nn.Module):  # type: ignore[misc]
        """Boxes and classes, each from features of its own."""

        def __init__(self, channels: int) -> None:
            super().__init__()
            self.box = nn.Sequential(light(channels), light(channels), nn.Conv2d(channels, 4 * BINS, 1))
            self.score = nn.Sequential(light(channels), light(channels), nn.Conv2d(channels, classes, 1))
            nn.init.ones_(self.box[-1].bias)
            nn.init.constant_(self.score[-1].bias, -5.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat((self.box(x), self.score(x)), 1)

    class Detector(nn.Module):  # type: ignore[misc]
        """Backbone, feature pyramid down and up again, one head per stride."""

        decoder, stride = "yolo", STRIDES[-1]

        def __init__(self) -> None:
            super().__init__()
            a, b, c, d, e, neck = (max(8, 8 * round(width * one / 8)) for one in (16, 24, 48, 96, 160, 64))
            self.stem = nn.Sequential(conv(3, a, 3, 2), conv(a, b, 3, 2), Stage(b, 1))
            self.fine = nn.Sequential(conv(b, c, 3, 2), Stage(c, 2))
            self.middle = nn.Sequential(conv(c, d, 3, 2), Stage(d, 2))
            self.coarse = nn.Sequential(conv(d, e, 3, 2), Stage(e, 1), Context(e))
            self.lateral = nn.ModuleList(conv(channels, neck, 1) for channels in (c, d, e))
            self.down = nn.ModuleList(nn.Sequential(light(neck), light(neck)) for _ in range(2))
            self.shrink = nn.ModuleList(light(neck, 2) for _ in range(2))
            self.up = nn.ModuleList(light(neck) for _ in range(2))
            self.heads = nn.ModuleList(Head(neck) for _ in STRIDES)
            self.register_buffer("distances", torch.arange(BINS, dtype=torch.float32), persistent=False)

        def forward(self, images: torch.Tensor) -> Any:
            fine = self.fine(self.stem(images))
            middle = self.middle(fine)
            top = self.lateral[2](self.coarse(middle))
            middle, fine = self.lateral[1](middle), self.lateral[0](fine)
            middle = self.down[1](middle + functional.interpolate(top, size=middle.shape[2:]))
            fine = self.down[0](fine + functional.interpolate(middle, size=fine.shape[2:]))
            middle = self.up[0](middle + self.shrink[0](fine))
            top = self.up[1](top + self.shrink[1](middle))
            raw = [head(level) for head, level in zip(self.heads, (fine, middle, top), strict=True)]
            return (
                raw
                if self.training
                else torch.cat([self.decode(level, s) for level, s in zip(raw, STRIDES, strict=True)], 2)
            )

        def loss(self, raw: Any, boxes: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
            """How wrong its raw answers are about padded boxes and their classes (-1 where there is no box)."""
            return detection_loss(raw, boxes, kinds, STRIDES, BINS)

        def decode(self, raw: torch.Tensor, stride: int) -> torch.Tensor:
            """Boxes and scores of one stride, in pixels of the input."""
            batch, _, rows, columns = raw.shape
            sides, scores = raw.flatten(2).split((4 * BINS, classes), 1)
            weights = sides.reshape(batch, 4, BINS, rows * columns).softmax(2)
            left, top, right, bottom = (weights * self.distances.view(1, 1, BINS, 1)).sum(2).unbind(1)
            lines = (torch.arange(size, device=raw.device) + 0.5 for size in (rows, columns))
            y, x = (each.flatten() for each in torch.meshgrid(*lines, indexing="ij"))
            boxes = (x + (right - left) / 2, y + (bottom - top) / 2, left + right, top + bottom)
            return torch.cat((torch.stack(boxes, 1) * stride, scores.sigmoid()), 1)

    return Detector()
