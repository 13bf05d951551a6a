"""TensorRT engines for a program of your own: one model or a folder of them, timed, and held against each other.

Where there is a GPU with TensorRT, engines are built on it and run before they get their name. Elsewhere TensorRT-RTX
builds them for a GPU that is named; they cannot be run here, and their passports say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, ModelRefused, ThroughlineError, Unavailable
from throughline.contracts.samples import DataSet
from throughline.contracts.verdicts import Check, Verdict
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.models.backends import devices
from throughline.models.chain import Drafted, Link, drafting, follow, refuse_to_overwrite, settle
from throughline.models.feeding import noise
from throughline.models.loading import check
from throughline.models.session import open_model
from throughline.models.timing import PerformanceStats
from throughline.models.transforms import Feeds
from throughline.terminal import human_bytes
from throughline.vision.detector import USUAL_SIZE

if TYPE_CHECKING:
    from throughline.evaluation.verification import Verification

_UNRUN = Check("the engine itself", "not run on this machine", "built for another", True)


@final
@dataclass(frozen=True, slots=True)
class Converted:
    """An engine.

    Attributes:
        path: where it is; its passport lies beside it.
        product: what built it: "tensorrt" or "tensorrt_rtx".
        precision: what its layers compute in.
        proven: it ran here, and gave the answers of its parent.
        notes: what the user should know, a line each.
    """

    path: Path
    product: str
    precision: str | None
    proven: bool
    notes: tuple[str, ...]

    def __str__(self) -> str:
        state = "proven" if self.proven else "not run here"
        return f"{self.path}: {self.product}, {self.precision}, {human_bytes(self.path.stat().st_size)}, {state}"


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one model of a folder: an engine, or the reason why there is none."""

    model: Path
    engine: Converted | None
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.model.name}: {self.problem}" if self.engine is None else str(self.engine)


@final
class TensorRTConverter:
    """Builds engines.

    Args:
        capability: the compute capability of the GPU that they are for (8.9, 12.0, ...); the GPU here when not given.
        batch: the largest batch.
        imgsz: the height and width that they are tuned for; those of each model's passport when not given.
        profile: least, usual and most shapes by input, in place of what follows from batch and imgsz.
        workspace: how many MB of GPU memory an engine may use to work in.
        timing_cache: a file of kernel timings, for TensorRT on a GPU.
    """

    def __init__(
        self,
        capability: str | None = None,
        *,
        batch: int = 8,
        imgsz: tuple[int, int] | None = None,
        profile: Mapping[str, Sequence[Sequence[int]]] | None = None,
        workspace: int | None = None,
        timing_cache: Path | None = None,
    ) -> None:
        self.product = "tensorrt" if capability is None and devices("tensorrt") else "tensorrt_rtx"
        if self.product == "tensorrt_rtx" and capability is None and not devices("tensorrt_rtx"):
            raise Unavailable(
                "there is no GPU here to build engines for",
                "name the one that they are for: TensorRTConverter('8.9') for Ada, '12.0' for Blackwell",
            )
        if timing_cache is not None and self.product != "tensorrt":
            raise InputError(
                "timing_cache: TensorRT-RTX times no kernels while it builds", "leave it away, or build on the GPU"
            )
        given = {
            "capability": capability,
            "imgsz": imgsz,
            "profile": profile,
            "workspace": workspace,
            "timing_cache": timing_cache,
        }
        self._options = {"batch": batch, **{name: value for name, value in given.items() if value is not None}}

    def convert(
        self,
        model: str | Path,
        out: str | Path | None = None,
        *,
        half: bool = False,
        int8: Feeds | None = None,
        data: DataSet | None = None,
        max_degradation: str | None = None,
    ) -> Converted:
        """Build an engine of an ONNX model; where a proof fails, nothing is written.

        Args:
            model: the ONNX file.
            out: the engine; beside the model when not given.
            half: compute in FP16, with FP32 where that is needed.
            int8: quantise, calibrated on these inputs.
            data: pictures to prove it on; seeded inputs when not given.
            max_degradation: how much of the task metric may be lost on labelled data: "1%", or "0.01".

        Raises:
            InputError: it is no ONNX model, or cannot be built as asked.
            ModelRefused: opening it would do harm; or the engine, or the graph it is built from, is not the same
                model any more.
        """
        if half and int8 is not None:
            raise InputError("half and int8 were both given", "one of them: INT8 leaves the rest in FP32 by itself")
        source = read_artifact(model)
        if source.format != "onnx":
            raise InputError(
                f"{source.path} is {source.format}; engines are built from onnx",
                f"export it first: throughline export {source.path} --to onnx",
            )
        target = Path(out) if out is not None else source.path.with_suffix(".engine")
        refuse_to_overwrite(target, source)
        check(source.path, passport_holds=passports.vouched(source))
        asked = "float16" if half else "int8" if int8 is not None else None
        links = [Link("half")] if half else [Link("int8", {"feeds": int8, "for_": "nvidia"})] if int8 else []
        checks: list[Check] = []
        limits = {"data": data, "max_degradation": max_degradation, "asked": asked}
        with drafting(target) as folder:
            graph = follow(source, links, folder / "graph", target.stem) if links else Drafted(source, (), ())
            if links:
                checks += _proven(source, graph.artifact, **limits)
            engine = follow(graph.artifact, [Link(self.product, self._options)], folder / "engine", target.stem)
            proven = bool(devices(self.product)) and "capability" not in self._options
            if proven:
                checks += _proven(source, engine.artifact, **limits)
            else:
                checks.append(_UNRUN)
            made = Drafted(engine.artifact, (*graph.steps, *engine.steps), (*graph.notes, *engine.notes))
            evidence = Verdict((source.sha256, made.artifact.sha256), tuple(checks))
            written = settle(made, target, source, [evidence])
        return Converted(target, self.product, written.passport.precision, proven, made.notes)

    def batch_convert(self, folder: str | Path, out: str | Path | None = None, **options: Any) -> tuple[Outcome, ...]:
        """Convert every ONNX model of a folder; what fails is said, and the rest goes on.

        Args:
            folder: where the models are.
            out: where the engines go; beside the models when not given.
            options: as ``convert`` takes them.
        """
        models = sorted(Path(folder).glob("*.onnx"))
        if not models:
            raise InputError(f"{folder} holds no .onnx file", "give the folder that holds the models")
        outcomes = []
        for model in models:
            target = Path(out) / f"{model.stem}.engine" if out is not None else None
            try:
                outcomes.append(Outcome(model, self.convert(model, target, **options)))
            except ThroughlineError as error:
                outcomes.append(Outcome(model, None, str(error).replace("\n ", ";")))
        return tuple(outcomes)

    def benchmark(
        self,
        model: str | Path,
        *,
        batch: int = 1,
        imgsz: tuple[int, int] | None = None,
        runs: int = 100,
        **opening: Any,
    ) -> PerformanceStats:
        """How fast a model runs here, on seeded inputs: the call alone, without what comes before and after it.

        Args:
            model: an engine, or any other model.
            batch: how many pictures in each call.
            imgsz: their height and width; those of the passport when not given.
            runs: how many calls are timed.
            opening: as ``open_model`` takes them.

        Raises:
            Unavailable: it is an engine, and there is no GPU.
        """
        if batch < 1 or runs < 1:
            raise InputError(f"batch={batch}, runs={runs}: both are at least 1", "give more")
        artifact = read_artifact(model)
        with open_model(artifact.path, **opening) as session:
            size = imgsz or artifact.passport.imgsz or (USUAL_SIZE, USUAL_SIZE)
            feeds = noise(session.inputs, batch, size)
            session.warm_up(feeds=feeds)
            for _ in range(runs):
                session.predict(feeds)
            return session.get_performance_stats()

    def compare_models(self, reference: str | Path, candidate: str | Path, **options: Any) -> Verification:
        """Hold one model's answers against another's, as ``throughline verify`` does.

        Args:
            reference: the model that is right.
            candidate: the other, an engine for example.
            options: as ``verify_models`` takes them: data, atol, rtol, max_degradation, trust, ...

        Raises:
            Unavailable: one of them is an engine, and there is no GPU.
        """
        from throughline.evaluation.verification import verify_models

        return verify_models(read_artifact(reference), read_artifact(candidate), **options)


def _proven(source: Artifact, candidate: Artifact, **limits: Any) -> tuple[Check, ...]:
    from throughline.evaluation.verification import verify_models

    verdict = verify_models(source, candidate, trust=True, **limits).verdict
    failed = [check for check in verdict.checks if not check.passed]
    if failed:
        said = "; ".join(f"{check.name}: {check.observed}, limit {check.limit}" for check in failed[:3])
        raise ModelRefused(
            f"{source.path}: the {candidate.format} made of it is not the same model: {said}",
            "leave more layers in higher precision, or calibrate on more and better inputs",
        )
    return verdict.checks
