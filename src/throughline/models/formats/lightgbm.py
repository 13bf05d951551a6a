"""LightGBM's own files: trees as text. Its pickles are not read."""

from __future__ import annotations

from typing import Final

from throughline.contracts.artifacts import TensorSpec
from throughline.contracts.errors import InputError
from throughline.models.formats import Description, Glimpse, Risk
from throughline.plugins import Plugin

_BEGINS: Final = (b"tree\nversion=v", b"tree\r\nversion=v")
_CLASSIFIES: Final = ("binary", "multiclass", "multiclassova")


class LightGBM:
    """A ``.txt`` file of LightGBM's ``save_model``."""

    suffixes = (".lgb",)
    shared_suffixes = (".txt",)

    def recognises(self, file: Glimpse) -> bool:
        """Whether it begins as LightGBM's text does."""
        return file.head.startswith(_BEGINS)

    def describe(self, file: Glimpse) -> Description:
        """Read the lines before the first tree."""
        head = file.head.decode("utf-8", "replace").partition("\nTree=")[0]
        said = dict(line.strip().partition("=")[::2] for line in head.splitlines() if "=" in line)
        last = said.get("max_feature_idx", "")
        if not last.isdecimal() or len(last) > 9:
            raise InputError(f"{file.path} is a damaged LightGBM file: it does not say its features", "save it again")
        objective = said.get("objective", "")
        return Description(
            path=file.path,
            format="lightgbm",
            kind=f"boosted trees ({objective[:60]})" if objective else "boosted trees",
            risk=Risk("data", "trees as text: nothing in it can run"),
            inputs=(TensorSpec("X", "float32", ("batch", int(last) + 1)),),
            task="classify" if objective.partition(" ")[0] in _CLASSIFIES else None,
            metadata={
                name: said[key][:2000]
                for name, key in (("objective", "objective"), ("classes", "num_class"), ("features", "feature_names"))
                if said.get(key)
            },
            files=(file.path,),
        )


PLUGIN = Plugin(make=LightGBM, summary="LightGBM's own files (.txt)")
