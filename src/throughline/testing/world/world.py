"""The synthetic world: a street in motion, and the exact truth about every frame of it.

The same seed, size and look give the same pixels on any machine and in any
order, which is what lets tests pin them and lets a reported figure be measured again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import final

from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.testing.world import lens, stage
from throughline.testing.world.dice import Dice
from throughline.testing.world.look import Look
from throughline.testing.world.palette import Palette
from throughline.testing.world.scene import Scene, Truth
from throughline.testing.world.traffic import LABELS, present
from throughline.testing.world.wardrobe import Wardrobe


@final
@dataclass(frozen=True)
class World:
    """A street, as many frames of it as are asked for.

    Attributes:
        seed: which street; each has its own layout, colours, hour of the day and traffic.
        width: of its frames, in pixels.
        height: of its frames, in pixels.
        fps: frames per second.
        look: how it is lit, filled and filmed.
    """

    seed: int = 7
    width: int = 640
    height: int = 384
    fps: int = 30
    look: Look = field(default_factory=Look)

    def __post_init__(self) -> None:
        limits = {"seed": (0, 2**63), "width": (32, 8192), "height": (32, 8192), "fps": (1, 1000)}
        for name, (low, high) in limits.items():
            if not low <= (value := getattr(self, name)) <= high:
                raise InputError(
                    f"the world's {name} is {value}; it must be from {low} to {high}",
                    f"give {name} a value in that range",
                )

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes."""
        return LABELS

    def frames(self, count: int) -> Iterator[tuple[Frame, Truth]]:
        """The first ``count`` frames, each with its truth."""
        return (self.frame(index) for index in range(count))

    def frame(self, index: int) -> tuple[Frame, Truth]:
        """One frame with its truth; any, in any order."""
        if index < 0:
            raise InputError(f"frame {index} was asked for; the first is 0", "count frames from 0")
        seconds = index / self.fps
        scene = Scene(self._stage, self.width, self.height, lens.tremble(self.seed, index, self.fps, self.look.shake))
        everyone = present(self.seed, seconds, self.width / self._stage.unit, self.look.density)
        cast = [(placed, sprite) for placed in everyone if (sprite := self._wardrobe.dress(placed)) is not None]
        for placed, sprite in cast:
            scene.cast_shadow(placed, sprite)
        for placed, sprite in cast:
            scene.lay(placed, sprite)
        picture = lens.expose(scene.picture, self.seed, index, self.look)
        return Frame(index, seconds, picture, f"world-{self.seed}"), scene.truth()

    @cached_property
    def _stage(self) -> stage.Stage:
        palette = Palette.of(Dice(self.seed, 0), self.look)
        margin = int(self.look.shake) + 1 if self.look.shake else 0
        return stage.build(self.seed, self.width, self.height, palette, margin)

    @cached_property
    def _wardrobe(self) -> Wardrobe:
        return Wardrobe(self._stage.unit, self._stage.palette, pixels=16 * self.width * self.height)
