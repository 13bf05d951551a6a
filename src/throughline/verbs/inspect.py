"""``throughline inspect``: what a model file is, told without running it; or data, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, nearest
from throughline.data.inspection import DataInspection, inspect_data
from throughline.data.reading import is_data
from throughline.data.table_inspection import TableInspection, inspect_table
from throughline.data.tables import is_table
from throughline.models import passport as passports
from throughline.models.artifact import Given, describe
from throughline.models.identify import Description, identify
from throughline.models.references import resolved
from throughline.terminal import fields, human_bytes
from throughline.vision.canvas import read_size
from throughline.vision.decoders import DECODERS


@dataclass(frozen=True, slots=True)
class Inspection:
    """What ``inspect`` found."""

    path: Path
    format: str
    kind: str
    task: str | None
    labels: tuple[str, ...]
    decoder: str | None
    imgsz: tuple[int, int] | None
    stride: int | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    precision: str | None
    parameters: int | None
    architecture: str | None
    size: int
    sha256: str
    parent: str | None
    licence: str | None
    passport: str
    evidence: tuple[str, ...]
    risk: str
    risk_reason: str
    notes: tuple[str, ...]
    metadata: dict[str, str]

    def __str__(self) -> str:
        return fields(
            [
                ("file", str(self.path)),
                ("format", self.format + (f", {self.kind}" if self.kind and self.kind != self.format else "")),
                ("task", self.task or "unknown: give --task"),
                ("labels", _labels(self.labels)),
                ("decoder", self.decoder or ("unknown: give --decoder" if self.outputs else "")),
                ("input size", "x".join(map(str, self.imgsz)) + " (height x width)" if self.imgsz else ""),
                ("stride", str(self.stride) if self.stride else ""),
                ("inputs", "\n".join(self.inputs) or "not written in the file"),
                ("outputs", "\n".join(self.outputs) or "not written in the file"),
                ("precision", self.precision or ""),
                ("parameters", f"{self.parameters:,}" if self.parameters else ""),
                ("class", self.architecture or ""),
                ("size", human_bytes(self.size)),
                ("sha256", self.sha256),
                ("parent", self.parent or ""),
                ("licence", self.licence or "not written in the file"),
                ("passport", self.passport),
                ("evidence", "\n".join(self.evidence)),
                ("risk", f"{self.risk}: {self.risk_reason}"),
                ("note", "\n".join(self.notes)),
            ]
        )


def inspect(
    file: Path,
    /,
    *,
    task: str | None = None,
    labels: str | None = None,
    decoder: str | None = None,
    imgsz: str | None = None,
    stride: int | None = None,
    licence: str | None = None,
    class_: str | None = None,
    trust: bool = False,
    lock: bool = False,
) -> Inspection | DataInspection | TableInspection:
    """Say what a model file is, what it expects and returns, and the risk of opening it; runs nothing in it.

    What the file does not say can be given, and is then kept in its passport, written beside it.
    Of a data set or a table, say what is in it, what is wrong with it, each with its file and line, and whether
    it still is what its data.lock says.

    Args:
        file: The model: ONNX, PyTorch, TorchScript, .pt2, safetensors, OpenVINO IR or TensorRT. Or the data: a
            data.yaml, a COCO file, a MOTChallenge sequence, a folder of class folders or of pictures, a table (CSV,
            Parquet, JSON lines).
        task: What it is for: detect, segment, classify, pose.
        labels: The class names: "person,car,dog", or a text file with one name a line.
        decoder: Which family of heads its outputs belong to: yolo, nanodet, detr and so on.
        imgsz: The input size: 640, or 384x640 (height x width).
        stride: The model's largest stride in pixels.
        licence: The licence of the weights.
        class_: What builds a state dict's network (package.module:factory); says whether the weights fit it.
        trust: Vouch for this file, so that this machine opens it even if it is a program.
        lock: Write a data.lock beside the data: which files they are, by hash, and in which split each picture is.
    """
    if decoder is not None and decoder not in DECODERS.names():
        raise InputError(f"there is no decoder '{decoder}'", nearest(decoder, DECODERS.names()))
    given = Given(task, _read_labels(labels), decoder, None if imgsz is None else read_size(imgsz), stride, licence)
    path = resolved(file)
    table = is_table(path)
    if table or is_data(path):
        if given.said() or class_ is not None or trust:
            raise InputError(
                f"{path} is a {'table' if table else 'data set'}, and these options are about models", "leave them away"
            )
        return inspect_table(path, lock) if table else inspect_data(path, lock)
    if lock:
        raise InputError(f"{path} is no data set, and --lock is about data", "a model has its passport instead")
    description = identify(path)
    artifact = describe(description, path, given)
    architecture = None if class_ is None else _fits(path, class_, trust)
    if given.said() or trust:
        sealed = artifact.issued and passports.is_sealed(artifact.passport)
        artifact = Artifact(path, passports.issue(path, artifact.passport, vouch=trust or sealed), True)
    return _report(artifact, description, architecture)


def _fits(path: Path, class_: str, trust: bool) -> str:
    from throughline.models.loading import architecture, load_state_dict
    from throughline.models.loading.architectures import fill

    weights = load_state_dict(path, trust=trust)
    fill(architecture(class_), weights.tensors)
    return "\n".join([f"{class_}: all {len(weights.tensors)} tensors fit", *weights.notes])


def _report(artifact: Artifact, description: Description, architecture: str | None) -> Inspection:
    passport = artifact.passport
    return Inspection(
        path=artifact.path,
        format=artifact.format,
        kind=description.kind,
        task=artifact.task,
        labels=artifact.labels,
        decoder=passport.decoder,
        imgsz=passport.imgsz,
        stride=passport.stride,
        inputs=tuple(map(str, artifact.inputs)),
        outputs=tuple(map(str, artifact.outputs)),
        precision=description.precision,
        parameters=description.parameters,
        architecture=architecture,
        size=passport.size,
        sha256=artifact.sha256,
        parent=passport.parent,
        licence=passport.licence,
        passport=_standing(artifact),
        evidence=tuple(
            f"{'passed' if check.passed else 'FAILED'}  {check.name}: {check.observed} (limit {check.limit})"
            for verdict in passport.evidence
            for check in verdict.checks
        ),
        risk=description.risk.level,
        risk_reason=description.risk.why,
        notes=description.notes,
        metadata=dict(description.metadata),
    )


def _standing(artifact: Artifact) -> str:
    if not artifact.issued:
        return "none"
    where = passports.path_of(artifact.path).name
    reason = passports.lacks(artifact.passport)
    return f"{where} matches the file" + ("; sealed on this machine" if reason is None else f"; {reason}")


def _labels(names: tuple[str, ...]) -> str:
    if not names:
        return "not written in the file: give --labels"
    shown = ", ".join(names[:8])
    return f"{len(names)}: {shown}" + (f", ... {names[-1]}" if len(names) > 8 else "")


def _read_labels(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    if "," not in text and Path(text).is_file():
        text = ",".join(Path(text).read_text("utf-8").splitlines())
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise InputError(f"--labels {text!r} holds no name", "give names separated by commas, or a file of one a line")
    return names
