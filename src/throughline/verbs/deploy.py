"""``throughline deploy``: the files that put a proven model into production, whole and valid, or none."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from throughline.contracts.errors import InputError, nearest
from throughline.models.references import is_reference, parse
from throughline.serving.deploying import TARGETS, Order
from throughline.serving.deploying._folder import files_in, refuse_to_replace, whole_folder
from throughline.serving.deploying._model import cleared
from throughline.serving.deploying._names import checked_image, checked_name, name_from
from throughline.terminal import fields, only_warnings


@dataclass(frozen=True, slots=True)
class DeployReport:
    """What ``deploy`` wrote.

    Attributes:
        model: the model's file.
        sha256: its hash.
        to: the target.
        name: what the model is called there.
        folder: where the files are.
        files: each, by its path in the folder.
        measured: what was measured for it.
        commands: what to go on with, as a shell takes it.
        notes: what is to be known besides.
    """

    model: Path
    sha256: str
    to: str
    name: str
    folder: Path
    files: tuple[str, ...]
    measured: str
    commands: tuple[str, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return fields(
            [
                ("model", f"{self.model}  (sha256 {self.sha256[:12]})"),
                ("name", self.name),
                ("folder", str(self.folder)),
                ("files", "\n".join(self.files)),
                ("measured", self.measured),
                ("note", "\n".join(self.notes)),
                ("next", "\n".join(self.commands)),
            ]
        )


def deploy(
    model: Path,
    /,
    *,
    to: str,
    out: Path | None = None,
    name: str | None = None,
    image: str | None = None,
    max_batch_size: int = 8,
    max_latency_ms: float | None = None,
    threads: int | None = None,
    replicas: int = 2,
    max_replicas: int = 10,
    trust: bool = False,
) -> DeployReport:
    """Write the files that put a model into production: a container image, Kubernetes, BentoML or Triton.

    A model whose passport does not match it, or holds a proof that failed, is not deployed. What was written and not
    changed since is replaced; anything else is left alone.

    Args:
        model: The model: ONNX or OpenVINO; for Triton a TensorRT engine too.
        to: docker, kubernetes, bentoml or triton.
        out: The folder of the files; runs/deploy-NAME-TARGET when not given.
        name: What the model is called in production: letters, digits and dashes; the file's name when not given.
        image: The container image, as REGISTRY/NAME:TAG; NAME:HASH when not given.
        max_batch_size: The largest batch.
        max_latency_ms: The longest that a batch waits for more; 5 when not given. BentoML decides that itself.
        threads: CPU threads of one copy; 2 for Kubernetes when not given, else every core.
        replicas: How many copies Kubernetes keeps at least.
        max_replicas: How many copies Kubernetes makes at most.
        trust: Take an engine that no passport of this machine vouches for.
    """
    if to not in TARGETS.names():
        raise InputError(f"--to {to}: there is no such target", nearest(to, TARGETS.names()))
    for option, value in (("max-batch-size", max_batch_size), ("threads", threads), ("replicas", replicas)):
        if value is not None and value < 1:
            raise InputError(f"--{option} {value}: it must be 1 or more", "leave it away, or give a count")
    if max_replicas < replicas:
        raise InputError(f"--max-replicas {max_replicas} is less than --replicas {replicas}", "give as many or more")
    if max_latency_ms is not None and not 0 <= max_latency_ms <= 60_000:
        raise InputError(f"--max-latency-ms {max_latency_ms:g}: from 0 to 60000 is allowed", "a few milliseconds do")
    called = checked_name(name) if name is not None else name_from(_stem(model))
    folder = out or Path("runs") / f"deploy-{called}-{to}"
    refuse_to_replace(folder)
    artifact, kind = cleared(model, trust)
    formats = TARGETS.get(to).facts["formats"]
    if artifact.format not in formats:
        raise InputError(
            f"{artifact.path} is {artifact.format}; --to {to} takes {', '.join(formats)}",
            f"make one that is proven to be the same: throughline export {shlex.quote(str(model))} --to onnx",
        )
    tag = checked_image(image) if image is not None else f"{called}:{artifact.sha256[:12]}"
    order = Order(
        artifact, kind, called, tag, folder, max_batch_size, max_latency_ms, threads, replicas, max_replicas
    )  # fmt: skip
    with whole_folder(folder) as draft, only_warnings():
        made = TARGETS.make(to, order, draft)
        files = tuple(files_in(draft))
    notes = made.notes if artifact.issued else (*made.notes, "the model had no passport: nothing says that it is right")
    return DeployReport(
        artifact.path, artifact.sha256, to, called, folder, files, made.measured,
        tuple(map(shlex.join, made.commands)), notes,
    )  # fmt: skip


def _stem(model: Path) -> str:
    return parse(model).name if is_reference(model) else Path(model).stem
