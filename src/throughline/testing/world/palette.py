"""The colours of a street: the hour of the day it shows, and what light and drift do to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from throughline.testing.world.canvas import Colour, Tone, mix
from throughline.testing.world.dice import Dice
from throughline.testing.world.look import Look


@dataclass(frozen=True, slots=True)
class Mood:
    """An hour of the day.

    Attributes:
        sky: its colours from the zenith down.
        tint: what it does to red, green and blue, of 256.
        haze: the colour that distance fades into.
        cloud: the bright and the shaded side of the clouds.
        sun: its colour.
        lit: the share of windows with a lamp on.
        gloom: how dark shadows are (0 to 1).
    """

    sky: tuple[Colour, Colour, Colour]
    tint: Colour
    haze: Colour
    cloud: tuple[Colour, Colour]
    sun: Colour
    lit: float
    gloom: float


MOODS: Final = (
    Mood(
        sky=((104, 168, 214), (172, 210, 222), (255, 230, 196)),
        tint=(258, 250, 236),
        haze=(236, 222, 204),
        cloud=((255, 248, 234), (226, 216, 214)),
        sun=(255, 244, 206),
        lit=0.06,
        gloom=0.34,
    ),
    Mood(
        sky=((62, 142, 214), (128, 190, 236), (214, 236, 244)),
        tint=(256, 256, 252),
        haze=(206, 226, 238),
        cloud=((255, 255, 255), (214, 226, 238)),
        sun=(255, 252, 228),
        lit=0.02,
        gloom=0.4,
    ),
    Mood(
        sky=((140, 158, 176), (184, 198, 208), (222, 228, 230)),
        tint=(236, 244, 250),
        haze=(208, 216, 222),
        cloud=((228, 234, 238), (178, 190, 202)),
        sun=(232, 236, 238),
        lit=0.16,
        gloom=0.22,
    ),
    Mood(
        sky=((92, 122, 186), (238, 172, 142), (255, 214, 144)),
        tint=(266, 238, 204),
        haze=(252, 206, 160),
        cloud=((255, 224, 188), (226, 150, 140)),
        sun=(255, 236, 170),
        lit=0.14,
        gloom=0.36,
    ),
    Mood(
        sky=((54, 58, 122), (156, 104, 156), (255, 172, 128)),
        tint=(214, 190, 222),
        haze=(222, 150, 142),
        cloud=((246, 172, 162), (126, 92, 148)),
        sun=(255, 214, 160),
        lit=0.5,
        gloom=0.26,
    ),
)

CLOTH: Final = (
    (214, 74, 66), (236, 160, 60), (244, 208, 92), (92, 156, 108), (54, 124, 132), (64, 100, 172), (120, 84, 150),
    (226, 120, 142), (240, 234, 222), (72, 78, 92), (176, 120, 84), (140, 178, 200), (150, 44, 70), (38, 54, 84),
)  # fmt: skip

LAMPLIGHT: Final = ((255, 214, 128), (255, 196, 104), (255, 228, 164), (250, 206, 142))


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one street under one look."""

    mood: Mood
    look: Look

    @classmethod
    def of(cls, dice: Dice, look: Look) -> Palette:
        """The hour that this street shows."""
        return cls(dice.pick(MOODS), look)

    @property
    def night(self) -> float:
        """How much of the day is gone: 0 in daylight, 1 in the dark."""
        return min(1.0, max(0.0, (0.85 - self.look.light) / 0.65))

    @property
    def lit(self) -> float:
        """The share of windows with a lamp on."""
        return max(self.mood.lit, 0.7 * self.night)

    def scenery(self) -> Tone:
        """How the light of the hour colours the street."""
        return self._tone(self.mood.tint)

    def sky(self) -> Tone:
        """What is left of the sky's own colours."""
        return self._tone((256, 256, 256))

    def objects(self) -> Tone:
        """How objects are coloured: as the street is, after the drift of their own paint."""
        light, drift = self.scenery(), self.look.appearance

        def tone(colour: Colour) -> Colour:
            r, g, b = colour
            strange = (255 - g // 2 - b // 2, min(255, r // 2 + b), 255 - r)
            return light(mix(colour, strange, drift))

        return tone

    def _tone(self, tint: Colour) -> Tone:
        dark = mix((256, 256, 256), (176, 196, 256), self.night)
        light = self.look.light if self.look.light >= 0.35 else 0.14 + 0.6 * self.look.light
        red, green, blue = (int(part * cast / 256 * light) for part, cast in zip(tint, dark, strict=True))

        def tone(colour: Colour) -> Colour:
            r, g, b = colour
            return min(255, r * red >> 8), min(255, g * green >> 8), min(255, b * blue >> 8)

        return tone
