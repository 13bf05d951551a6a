"""The knobs of the world: how a street is seen, apart from which street it is."""

from __future__ import annotations

from dataclasses import dataclass, fields

from throughline.contracts.errors import InputError

_RANGES = {
    "light": (0.05, 2.0),
    "blur": (0.0, 8.0),
    "noise": (0.0, 64.0),
    "density": (0.0, 4.0),
    "shake": (0.0, 32.0),
    "appearance": (0.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class Look:
    """How the street is lit, filled and filmed.

    Attributes:
        light: 1 is the street's own time of day; towards 0 night falls and its lamps and windows shine.
        blur: how many times the picture is softened.
        noise: standard deviation of the sensor's noise, in grey levels.
        density: how busy the street is; 0 is empty, 1 is ordinary.
        shake: how far the camera trembles, in pixels.
        appearance: how far the objects' colours and proportions have moved from the ordinary (0 to 1).
    """

    light: float = 1.0
    blur: float = 0.0
    noise: float = 0.0
    density: float = 1.0
    shake: float = 0.0
    appearance: float = 0.0

    def __post_init__(self) -> None:
        for knob in fields(self):
            value = getattr(self, knob.name)
            low, high = _RANGES[knob.name]
            if not low <= value <= high:
                raise InputError(
                    f"look.{knob.name} is {value}; it must be from {low:g} to {high:g}",
                    f"give {knob.name} a value in that range",
                )
