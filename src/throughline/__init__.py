"""One line from weights to production, with proof at every step.

Every public name is loaded on first use, so ``import throughline`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from throughline.contracts.artifacts import Artifact, Passport, Predictor, TensorSpec
    from throughline.contracts.detections import Detection, Detections
    from throughline.contracts.errors import (
        InputError,
        MissingExtra,
        ModelRefused,
        PassportMismatch,
        SettingsError,
        SourceFailed,
        ThroughlineError,
        Unavailable,
    )
    from throughline.contracts.frames import Frame
    from throughline.contracts.verdicts import Check, Verdict
    from throughline.converter import TensorRTConverter
    from throughline.manager import ModelManager
    from throughline.models.artifact import read_artifact
    from throughline.models.session import Session, open_model
    from throughline.settings import Config
    from throughline.verbs.bench import bench
    from throughline.verbs.compare import compare
    from throughline.verbs.demo import demo
    from throughline.verbs.deploy import deploy
    from throughline.verbs.doctor import doctor
    from throughline.verbs.evaluate import evaluate
    from throughline.verbs.explain import explain
    from throughline.verbs.export import export
    from throughline.verbs.history import history
    from throughline.verbs.inspect import inspect
    from throughline.verbs.key import key
    from throughline.verbs.monitor import monitor
    from throughline.verbs.optimize import optimize
    from throughline.verbs.promote import promote
    from throughline.verbs.register import register
    from throughline.verbs.rollback import rollback
    from throughline.verbs.run import run
    from throughline.verbs.runs import runs
    from throughline.verbs.serve import serve
    from throughline.verbs.train import train
    from throughline.verbs.tune import tune
    from throughline.verbs.verify import verify
    from throughline.video.processor import VideoProcessor
    from throughline.video.trackers.hybrid import HybridTracker

__version__ = "0.1.0"

_HOMES = {
    "contracts.artifacts": ("Artifact", "Passport", "Predictor", "TensorSpec"),
    "contracts.detections": ("Detection", "Detections"),
    "contracts.errors": (
        "InputError",
        "MissingExtra",
        "ModelRefused",
        "PassportMismatch",
        "SettingsError",
        "SourceFailed",
        "ThroughlineError",
        "Unavailable",
    ),
    "contracts.frames": ("Frame",),
    "contracts.verdicts": ("Check", "Verdict"),
    "converter": ("TensorRTConverter",),
    "manager": ("ModelManager",),
    "models.artifact": ("read_artifact",),
    "models.session": ("Session", "open_model"),
    "settings": ("Config",),
    "verbs.bench": ("bench",),
    "verbs.compare": ("compare",),
    "verbs.demo": ("demo",),
    "verbs.deploy": ("deploy",),
    "verbs.doctor": ("doctor",),
    "verbs.evaluate": ("evaluate",),
    "verbs.explain": ("explain",),
    "verbs.export": ("export",),
    "verbs.history": ("history",),
    "verbs.inspect": ("inspect",),
    "verbs.key": ("key",),
    "verbs.monitor": ("monitor",),
    "verbs.optimize": ("optimize",),
    "verbs.promote": ("promote",),
    "verbs.register": ("register",),
    "verbs.rollback": ("rollback",),
    "verbs.run": ("run",),
    "verbs.runs": ("runs",),
    "verbs.serve": ("serve",),
    "verbs.train": ("train",),
    "verbs.tune": ("tune",),
    "verbs.verify": ("verify",),
    "video.processor": ("VideoProcessor",),
    "video.trackers.hybrid": ("HybridTracker",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Artifact", "Check", "Config", "Detection", "Detections", "Frame", "HybridTracker", "InputError", "MissingExtra",
    "ModelManager", "ModelRefused", "Passport", "PassportMismatch", "Predictor", "Session", "SettingsError",
    "SourceFailed", "TensorRTConverter", "TensorSpec", "ThroughlineError", "Unavailable", "Verdict", "VideoProcessor",
    "bench", "compare", "demo", "deploy", "doctor", "evaluate", "explain", "export", "history", "inspect", "key",
    "monitor", "open_model", "optimize", "promote", "read_artifact", "register", "rollback", "run", "runs", "serve",
    "train", "tune", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"throughline.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'throughline' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
