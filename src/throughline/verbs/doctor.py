"""``throughline doctor``: what this machine has, what works on it, and who set what."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughline import hardware, settings
from throughline.models.backends import BACKENDS, devices, unusable
from throughline.terminal import fields, styled, table


@dataclass(frozen=True, slots=True)
class BackendHealth:
    """Whether a backend works here, and if not, why and what to do."""

    name: str
    works: bool
    detail: str
    fix: str


@dataclass(frozen=True, slots=True)
class SettingInForce:
    """A setting's value, and who set it."""

    name: str
    value: Any
    origin: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Health:
    """What ``doctor`` found."""

    throughline: str
    hardware: hardware.Hardware
    backends: tuple[BackendHealth, ...]
    settings: tuple[SettingInForce, ...]

    def __str__(self) -> str:
        machine, cpu = self.hardware, self.hardware.cpu
        return "\n".join(
            [
                styled("Machine", "cyan"),
                fields(
                    [
                        ("throughline", f"{self.throughline} on Python {machine.python}"),
                        ("system", machine.system),
                        ("processor", f"{cpu.model}, {cpu.cores} cores for this process"),
                        ("  has", ", ".join(cpu.features) or "none of the features that matter"),
                        ("  lacks", ", ".join(cpu.lacks)),
                        ("memory", f"{machine.memory_mb:,} MB for this process"),
                        ("GPU", "\n".join(map(_gpu, machine.gpus)) or "no NVIDIA GPU: nvidia-smi finds none"),
                    ]
                ),
                "",
                styled("Backends", "cyan"),
                *(_backend_lines(self.backends)),
                "",
                styled("Settings", "cyan"),
                table(
                    ("setting", "value", "set by", "meaning"),
                    [(item.name, str(item.value), item.origin, item.meaning) for item in self.settings],
                ),
            ]
        )


def doctor(*, profile: str | None = None, config: Path | None = None) -> Health:
    """Show this machine, the backends that work on it, and every setting with who set it.

    Args:
        profile: Start from this profile: cpu, small_gpu, big_gpu or debug.
        config: Read settings from this TOML or JSON file.
    """
    from throughline import __version__

    in_force = settings.resolve(profile=profile, config=config)
    return Health(
        throughline=__version__,
        hardware=hardware.detect(),
        backends=tuple(_try(name) for name in BACKENDS.names()),
        settings=tuple(
            SettingInForce(name, value, in_force.origin.get(name, "default"), settings.meaning(name))
            for name, value in in_force.values().items()
        ),
    )


def _try(name: str) -> BackendHealth:
    """A backend works when its packages load here and find a device to run on."""
    plugin = BACKENDS.get(name)
    if (reason := unusable(name)) is not None:
        return BackendHealth(name, False, reason.problem, reason.fix)
    runs = f"runs {', '.join(plugin.facts['formats'])} on {', '.join(devices(name))}"
    return BackendHealth(name, True, f"{runs} ({plugin.needs[0]} {importlib.metadata.version(plugin.needs[0])})", "")


def _backend_lines(backends: tuple[BackendHealth, ...]) -> list[str]:
    width = max(len(backend.name) for backend in backends)
    lines = []
    for backend in backends:
        mark = styled("works ", "green") if backend.works else styled("absent", "yellow")
        lines.append(f"{mark}  {backend.name.ljust(width)}  {backend.detail}")
        if backend.fix:
            lines.append(" " * (10 + width) + f"fix: {backend.fix}")
    return lines


def _gpu(gpu: hardware.Gpu) -> str:
    return f"{gpu.index}: {gpu.name}, {gpu.memory_mb:,} MB, driver {gpu.driver}, compute {gpu.compute}"
