"""Which pictures two data sets share: what a model was fitted on says little about how good it is."""

from __future__ import annotations

from throughline.contracts.samples import DataSet


def shared_pictures(a: DataSet, b: DataSet) -> tuple[str, ...]:
    """The names of the pictures of ``a`` whose very bytes are in ``b``, too, in the order of ``a``."""
    known = {sample.sha256 for sample in b}
    return tuple(sample.name for sample in a if sample.sha256 in known)
