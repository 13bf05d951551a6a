"""``throughline register``: a model under a name and a number, where whoever serves it finds it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from throughline.models.artifact import read_artifact
from throughline.registry.registering import open_store
from throughline.registry.registering import register as add
from throughline.registry.versions import checked_name
from throughline.terminal import fields


@dataclass(frozen=True, slots=True)
class RegisterReport:
    """Where a model is in the registry.

    Attributes:
        name: what it is called.
        version: its number.
        new: whether these bytes were registered now, and not before.
        sha256: the hash of its file.
        uri: how to name it wherever a model is accepted.
        registry: where the registry is.
        promoted: the aliases that point to it.
        champion: the version that production follows; None where none does.
    """

    name: str
    version: int
    new: bool
    sha256: str
    uri: str
    registry: str
    promoted: tuple[str, ...]
    champion: int | None

    def __str__(self) -> str:
        return fields(
            [
                ("model", self.uri + ("" if self.new else "  (these very bytes were registered before)")),
                ("sha256", self.sha256),
                ("registry", self.registry),
                ("alias", ", ".join(self.promoted)),
                ("next", self._next()),
            ]
        )

    def _next(self) -> str:
        if self.promoted:
            return f"throughline history {shlex.quote(self.name)}"
        if self.champion is not None:
            names = shlex.quote(f"models:/{self.name}@champion"), shlex.quote(self.uri)
            return f"throughline compare {' '.join(names)} --data DATA"
        return f"throughline promote {shlex.quote(self.name)} {self.version} --alias champion"


def register(model: Path, name: str, /) -> RegisterReport:
    """Register a model under a name; the same bytes twice are the same version.

    Everything that belongs to the file goes with it: the files it reads, and its passport. What MLflow has a flavour
    for (ONNX, XGBoost, LightGBM, skops) is loaded by ``mlflow.pyfunc`` too, without Throughline.

    Args:
        model: The model's file.
        name: What it is called from now on: models:/NAME/VERSION, and models:/NAME@ALIAS once it is promoted.
    """
    checked_name(name)
    artifact = read_artifact(model)
    store = open_store(new=True)
    version, new = add(artifact.path, name, store=store)
    aliases = store.aliases(name)
    promoted = tuple(sorted(alias for alias, number in aliases.items() if number == version.number))
    return RegisterReport(
        name, version.number, new, artifact.sha256, str(version), str(store), promoted, aliases.get("champion")
    )
