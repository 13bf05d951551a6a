"""The model on its way into production: cleared first, then copied under a plain name, with a passport of its own.

Its file gets the name that the order gives, so that nothing downstream ever sees another one. The bytes stay the
same, so the hash and the evidence do; only what the passport calls its files is written anew.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, ModelRefused
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.models.chain import suffix_of
from throughline.models.loading import check


def cleared(path: Path, trust: bool) -> tuple[Artifact, str]:
    """A model that may be put into production, and what exactly its file is.

    Raises:
        InputError: it is not a model, or its passport names other files than those that it reads.
        PassportMismatch: its passport belongs to other bytes.
        ModelRefused: opening it is unsafe, or a proof in its passport failed.
    """
    model = read_artifact(path)
    refuse_failed(model)
    description = check(model.path, trust=trust, passport_holds=passports.vouched(model))
    reads = {part.relative_to(model.path.parent).as_posix() for part in description.files if part != model.path}
    if reads != {*model.passport.companions}:
        raise InputError(
            f"{model.path}: it reads {sorted(reads) or 'no other file'}, and its passport names "
            f"{sorted(model.passport.companions) or 'none'}",
            f"remove {passports.path_of(model.path).name} and inspect the model anew",
        )
    return model, description.kind


def refuse_failed(model: Artifact) -> None:
    """What failed a proof is not put into production."""
    for verdict in model.passport.evidence:
        if verdict.passed:
            continue
        failed = next((check for check in verdict.checks if not check.passed), None)
        why = f"{failed.name} is {failed.observed}, and {failed.limit} is asked for" if failed else "it checks nothing"
        raise ModelRefused(
            f"{model.path}: a proof in its passport failed: {why}",
            "mend the model and prove it again: throughline verify",
        )


def carried(model: Artifact, folder: Path, stem: str) -> Path:
    """Copy a model and everything that it reads into a folder, and give it its passport there."""
    file = folder / f"{stem}{'.plan' if model.format == 'tensorrt' else suffix_of(model.format)}"
    names = {name: _named(model, name, stem) for name in model.passport.companions}
    if deeper := next((name for name in names if "/" in name), None):
        raise InputError(
            f"{model.path}: it reads {deeper!r}, in a folder of its own",
            "export the model again, with its data in one file or beside it",
        )
    taken = [file.name, passports.path_of(file).name, *names.values()]
    if len({name.casefold() for name in taken}) < len(taken):
        raise InputError(
            f"{model.path}: a file that it reads is called as the model itself is to be called, {file.name}",
            "export the model again, with its data in one file or under another name",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, called in names.items():
        shutil.copyfile(model.path.with_name(name), folder / called)
    shutil.copyfile(model.path, file)
    about = dataclasses.replace(model.passport, companions=dict.fromkeys(names.values(), ""))
    issued = passports.issue(file, about, vouch=passports.vouched(model))
    before = {called: model.passport.companions[name] for name, called in names.items()}
    if (issued.sha256, issued.companions) != (model.sha256, before):
        raise ModelRefused(f"{model.path}: the file changed while it was copied", "deploy it again")
    return file


def _named(model: Artifact, companion: str, stem: str) -> str:
    """A graph names the files it reads, which keep their names; an IR finds its weights by its own name."""
    return f"{stem}.bin" if model.format == "openvino" else companion
