"""Give a model a name and a number: the one way in, for the verb and for a training run alike."""

from __future__ import annotations

from pathlib import Path

from throughline.models.artifact import read_artifact
from throughline.models.mlflow_server import require, server
from throughline.registry.stores import STORES
from throughline.registry.versions import Store, Version, checked_name


def open_store(name: str = "mlflow", *, new: bool = False) -> Store:
    """The registry: the embedded one of this folder, or the server that ``MLFLOW_TRACKING_URI`` names.

    Args:
        name: which kind of store.
        new: make the embedded one where there is none.
    """
    if not new:
        require(server())
    store: Store = STORES.make(name)
    return store


def register(
    model: str | Path, name: str, *, run: str | None = None, store: Store | None = None
) -> tuple[Version, bool]:
    """Register a model; the same bytes twice are the same version.

    Args:
        model: the file, its passport beside it if it has one.
        name: what it is called from now on.
        run: the id of the training run that it came from.
        store: the registry; the usual one when None.

    Returns:
        The version, and whether it is new.
    """
    artifact = read_artifact(model)
    checked_name(name)
    return (store or open_store(new=True)).add(artifact, name, run)
