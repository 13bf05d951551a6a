"""``throughline export``: another form of a model, written only if it is proven to be the same model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughline.contracts.artifacts import Artifact, Step
from throughline.contracts.errors import InputError, Unavailable, nearest
from throughline.contracts.samples import DataSet
from throughline.contracts.verdicts import Check, Verdict
from throughline.data.overlap import shared_pictures
from throughline.evaluation.feeding import CALIBRATION, feeds_of
from throughline.evaluation.verification import Verification, verify_models
from throughline.hardware import detect
from throughline.models import passport as passports
from throughline.models.artifact import Given, read_artifact
from throughline.models.backends import devices
from throughline.models.chain import Drafted, Link, drafting, follow, refuse_to_overwrite, settle, suffix_of
from throughline.models.loading import check
from throughline.models.references import is_reference
from throughline.models.repair import links_for, ranked_by_damage, smallest_keep
from throughline.models.session import open_model
from throughline.models.transforms import TRANSFORMS, Feeds
from throughline.terminal import fields, human_bytes, note, only_warnings, styled
from throughline.video.pictures import open_pictures
from throughline.vision.canvas import read_size

FORMATS = {
    "onnx": "onnx",
    "openvino": "openvino",
    "torchscript": "torchscript",
    "pt2": "pt2",
    "tensorrt": "tensorrt",
    "tensorrt_rtx": "tensorrt",
}
"""What can be asked for, and the format that it is."""
_TORCH = ("safetensors", "checkpoint", "pt2")
_CLASSICAL = ("skops", "xgboost", "lightgbm")
_UNRUN = "unrun"
_ACCEPTED = Check("the engine itself", "not run on this machine: its graph is proven", f"--accept {_UNRUN}", True)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What ``export`` did.

    Attributes:
        path: the file that was written; None where its proof failed and nothing was.
        verdict: every check, on the file as it was read back from the disk.
    """

    source: Path
    path: Path | None
    format: str
    size: int
    precision: str | None
    steps: tuple[str, ...]
    verdict: Verdict
    report: str
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 where it is proven."""
        return 0 if self.path else 5

    def __str__(self) -> str:
        proven = styled("proven", "green") if self.path else styled("REFUSED", "red")
        return "\n".join(
            [
                self.report,
                "",
                fields(
                    [
                        (
                            "written",
                            f"{self.path}, {human_bytes(self.size)}"
                            if self.path
                            else "nothing: the proof failed, and what fails its proof is not kept",
                        ),
                        ("format", self.format + (f", {self.precision}" if self.precision else "")),
                        ("steps", "\n".join(self.steps)),
                        ("verdict", proven),
                        ("note", "\n".join(self.notes)),
                        ("next", f"throughline inspect {self.path}" if self.path else "throughline export --help"),
                    ]
                ),
            ]
        )


def export(
    model: Path,
    /,
    *,
    to: str,
    out: Path | None = None,
    half: bool = False,
    int8: str | None = None,
    dynamic: bool = False,
    imgsz: str | None = None,
    batch: int | None = None,
    nms: bool = False,
    conf: float = 0.25,
    iou: float = 0.7,
    verify: str | None = None,
    split: str | None = None,
    max_degradation: str | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    method: str = "percentile",
    repair: bool = False,
    decoder: str | None = None,
    capability: str | None = None,
    class_: str | None = None,
    trust: bool = False,
    accept: str | None = None,
) -> ExportReport:
    """Write a model in another form, proven to be the same model, or not at all.

    Args:
        model: The model: ONNX, a PyTorch checkpoint or .pt2, or a scikit-learn, XGBoost or LightGBM estimator.
        to: onnx, openvino, torchscript, pt2, tensorrt or tensorrt_rtx.
        out: The file to write; beside the model when not given.
        half: Compute in FP16, with FP32 where that is needed.
        int8: Quantise, calibrated on these pictures: a folder, a data set or a video.
        dynamic: Leave the batch and the input's sides open.
        imgsz: Fix the input size: 640, or 384x640 (height x width).
        batch: Fix the batch.
        nms: Take the best box of each object inside the model.
        conf: The least confidence that counts, where --nms builds it in.
        iou: Two boxes that overlap more are one object, where --nms builds it in.
        verify: Prove it on these: a data set with labels also proves the accuracy. Seeded inputs when not given.
        split: Which part of a data set: train, val or test.
        max_degradation: How much accuracy may be lost: 1%, or 0.01 of it absolutely.
        atol: How far an output may be off, absolutely.
        rtol: How far an output may be off, as a share of its value.
        method: How INT8 ranges are found: percentile, entropy or minmax.
        repair: Where FP16 or INT8 fails, keep the fewest layers in higher precision with which it passes.
        decoder: How the model's outputs are read, where its file does not say.
        capability: The GPU that a TensorRT-RTX engine is built for, such as 8.9; this machine's when not given.
        class_: What builds the network that a state dict belongs to (package.module:factory).
        trust: Open a model that is a program and that no passport of this machine vouches for.
        accept: "unrun" keeps an engine that this machine cannot run; its graph is proven, and the passport says so.
    """
    if to not in FORMATS:
        raise InputError(f"--to {to}: there is no such format", nearest(to, FORMATS))
    if half and int8 is not None:
        raise InputError("--half and --int8 were both given", "one of them: INT8 leaves the rest in FP32 by itself")
    if accept not in (None, _UNRUN):
        raise InputError(f"--accept {accept}: there is nothing of that name to accept", f"--accept {_UNRUN}")
    if to in ("torchscript", "pt2") and (half or int8 is not None or nms):
        raise InputError(f"--to {to}: --half, --int8 and --nms work on the ONNX graph", "export --to onnx")
    source = _opened(Path(model), trust, decoder)
    asked = "float16" if half else "int8" if int8 is not None else "float32"
    size = None if imgsz is None else read_size(imgsz)
    told = [name for name, is_so in (("half", half), ("int8", int8), ("nms", nms), ("dynamic", dynamic)) if is_so]
    told += [imgsz] if imgsz else []
    told += [f"b{batch}"] if batch else []
    name = out.stem if out is not None else _name(source, to, told)
    beside = Path(source.path.name) if is_reference(model) else source.path  # a registered one came out of a cache
    target = out or beside.with_name(f"{name}{suffix_of(FORMATS[to])}")
    if target.suffix != suffix_of(FORMATS[to]):
        raise InputError(f"--out {out}: a file for {to} ends in {suffix_of(FORMATS[to])}", "give it that ending")
    refuse_to_overwrite(target, source)
    unrun = _engine(to) and not (devices(to) and capability in (None, *(gpu.compute for gpu in detect().gpus)))
    if unrun and accept is None:
        raise Unavailable(
            f"this machine cannot run what --to {to} makes, so it cannot be proven here",
            f"export where it is to run, or give --accept {_UNRUN}: then its graph is proven, and its passport says so",
        )
    calibration = None if int8 is None else open_pictures(int8).few(CALIBRATION)
    proof, notes = _proof(verify, split, calibration)
    limits: dict[str, Any] = {
        "data": proof, "asked": asked, "atol": atol, "rtol": rtol, "max_degradation": max_degradation,
        "decoder": decoder, "class_": class_, "trust": True,
    }  # fmt: skip
    with drafting(target) as folder, only_warnings():
        graph = follow(
            source,
            _to_graph(source, to, dynamic, size, batch, class_, trust),
            folder / "graph",
            name,
        )
        built_in = [Link("nms", {"conf": conf, "iou": iou})] if nms else []
        with _feeds(graph.artifact, calibration, decoder) as feeds:
            links = [*built_in, *_to_precision(to, half, int8, feeds, method)]
            if not graph.steps and not links:  # nothing would be made, and the model itself is not to be moved
                links = [Link("simplify")]
            runnable = follow(graph.artifact, links, folder / "form", name)
            verified = verify_models(source, runnable.artifact, steps=(*graph.steps, *runnable.steps), **limits)
            if repair and not verified.verdict.passed:
                runnable, verified = _repaired(source, graph, runnable, verified, built_in, feeds, folder, limits)
        made, verdict = runnable, verified.verdict
        if verdict.passed and _engine(to):
            made = follow(runnable.artifact, [Link(to, _options(capability))], folder / "engine", name)
            if unrun:
                verdict = Verdict((source.sha256, made.artifact.sha256), (*verdict.checks, _ACCEPTED))
            else:
                verified = verify_models(source, made.artifact, steps=(*graph.steps, *runnable.steps), **limits)
                verdict = verified.verdict
            made = dataclasses.replace(made, steps=(*runnable.steps, *made.steps), notes=(*runnable.notes, *made.notes))
        made = dataclasses.replace(made, steps=(*graph.steps, *made.steps, *_data_used(calibration, proof)))
        written = settle(made, target, source, [verdict]) if verdict.passed else None
    about = (written or made.artifact).passport
    return ExportReport(
        source.path,
        written.path if written else None,
        FORMATS[to],
        about.size,
        about.precision,
        tuple(f"{step.name} ({step.tool})" if step.tool else step.name for step in made.steps),
        verdict,
        str(verified),
        (*notes, *graph.notes, *made.notes),
    )


def _opened(path: Path, trust: bool, decoder: str | None) -> Artifact:
    artifact = read_artifact(path, Given(decoder=decoder))
    check(artifact.path, trust=trust, passport_holds=passports.vouched(artifact))
    return artifact


def _name(source: Artifact, to: str, told: list[str]) -> str:
    """What was asked for is in the name, so that two exports of one model lie side by side."""
    if not told and source.format == to:
        told = ["simplified"]
    return "-".join([source.path.stem, *told])


def _to_graph(
    source: Artifact,
    to: str,
    dynamic: bool,
    imgsz: tuple[int, int] | None,
    batch: int | None,
    class_: str | None,
    trust: bool,
) -> list[Link]:
    """From what was given to a plain graph, its axes as they are asked for."""
    axes = {"imgsz": "dynamic" if dynamic else imgsz, "batch": batch if batch else "dynamic" if dynamic else None}
    axes = {name: value for name, value in axes.items() if value is not None}
    if source.format in _TORCH:
        own = {"class_": class_, "trust": trust, **({} if imgsz is None else {"imgsz": imgsz})}
        if to in ("torchscript", "pt2"):
            return [Link(to, own)]
        return [Link("to_onnx", {**own, "dynamic": dynamic}), *([Link("axes", axes)] if axes else []), *_simplified()]
    if source.format in _CLASSICAL and to == "onnx":
        return [Link("classical", {"trust": trust})]
    if source.format != "onnx":
        raise InputError(
            f"{source.path} is {source.format}, and cannot become {to}",
            "give the ONNX file or the PyTorch checkpoint that it was made from",
        )
    if to in ("torchscript", "pt2"):
        raise InputError(f"{source.path} is an ONNX graph: it cannot become {to}", "give the PyTorch checkpoint")
    return [*([Link("axes", axes)] if axes else []), *_simplified()]


def _simplified() -> list[Link]:
    """Runtimes simplify for themselves too: where the package for it lacks, that is said and nothing is lost."""
    if (lacking := TRANSFORMS.get("simplify").missing()) is None:
        return [Link("simplify")]
    note(f"the graph is not simplified: {lacking} is not installed (pip install 'throughline[optimize]')")
    return []


def _to_precision(to: str, half: bool, int8: str | None, feeds: Feeds | None, method: str) -> list[Link]:
    if to == "openvino" and int8 is not None:
        return [Link("openvino_int8", {"feeds": feeds})]
    links = []
    if half:
        links.append(Link("half", {"feeds": feeds} if feeds else {}))
    elif int8 is not None:
        links.append(Link("int8", {"feeds": feeds, "method": method, "for_": "nvidia" if _engine(to) else "cpu"}))
    return [*links, Link("openvino")] if to == "openvino" else links


def _repaired(
    source: Artifact,
    graph: Drafted,
    failed: Drafted,
    found: Verification,
    built_in: list[Link],
    feeds: Feeds | None,
    folder: Path,
    limits: dict[str, Any],
) -> tuple[Drafted, Verification]:
    """The same with as few layers in higher precision as make it pass; what failed, where none do."""
    made: dict[tuple[str, ...], tuple[Drafted, Verification]] = {}
    links_for(failed.artifact, limits["asked"], (), feeds)  # what cannot be made is said before anything is measured

    def passes(keep: tuple[str, ...]) -> bool:
        links = [*built_in, *links_for(failed.artifact, limits["asked"], keep, feeds)]
        draft = follow(graph.artifact, links, folder / f"repair-{len(made)}", failed.artifact.path.stem)
        proof = verify_models(source, draft.artifact, steps=(*graph.steps, *draft.steps), part=False, **limits)
        made[keep] = draft, proof
        return proof.verdict.passed

    keep = smallest_keep(ranked_by_damage(graph.artifact.path, failed.artifact.path, found.feeds[:2]), passes)
    return (failed, found) if keep is None else made[keep]


def _engine(to: str) -> bool:
    return FORMATS[to] == "tensorrt"


def _options(capability: str | None) -> dict[str, Any]:
    return {"capability": capability} if capability else {}


def _proof(verify: str | None, split: str | None, calibration: DataSet | None) -> tuple[DataSet | None, list[str]]:
    """The pictures of the proof, and what has to be said of them."""
    if verify is None:
        if calibration is None:
            return None, []
        return calibration, ["the proof uses the pictures that it was calibrated on: give others with --verify"]
    proof = open_pictures(verify, split)
    if calibration is not None and (shared := shared_pictures(calibration, proof)):
        return proof, [f"{len(shared)} pictures are in both the calibration and the proof, {shared[0]} among them"]
    return proof, []


@contextmanager
def _feeds(graph: Artifact, calibration: DataSet | None, decoder: str | None) -> Iterator[Feeds | None]:
    if calibration is None or graph.format != "onnx":
        yield None
        return
    with open_model(graph.path, backend="onnxruntime", device="cpu") as session:
        yield feeds_of(graph, session, lambda: calibration, decoder=decoder or graph.passport.decoder)


def _data_used(calibration: DataSet | None, proof: DataSet | None) -> list[Step]:
    """The data by their hashes: who reads the passport can tell what was calibrated and what was proven on."""
    used = {"calibration": calibration, "proof": proof}
    named = {
        role: {"name": data.name, "sha256": data.sha256, "pictures": len(data)} for role, data in used.items() if data
    }
    return [Step("data", named)] if named else []
