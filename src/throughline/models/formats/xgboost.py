"""XGBoost's own files, as JSON or as UBJSON: trees as plain numbers. Its pickles are not read."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from throughline.contracts.artifacts import TensorSpec
from throughline.contracts.errors import InputError
from throughline.models.formats import Description, Glimpse, Risk
from throughline.plugins import Plugin

_MAX_TEXT: Final = 256 << 20
_TAIL: Final = 1 << 20
"""The objective comes after the trees."""
_PARTS: Final = ("objective", "learner_model_param")
_JSON: Final = re.compile(rb'\s*\{\s*"(?:learner"\s*:\s*\{|version"\s*:\s*\[\d+,\s*\d+,\s*\d+\]\s*,\s*"learner")')
_UBJ: Final = re.compile(rb"\{L\x00{7}\x07learner\{")
_OBJECTIVE: Final = re.compile(
    rb"(?:name|objective)SL\x00{7}.((?:binary|multi|reg|rank|count|survival):[\w:]{1,40})", re.S
)


class XGBoost:
    """A ``.ubj`` or ``.json`` file of XGBoost's ``save_model``."""

    suffixes = (".ubj", ".xgb")
    shared_suffixes = (".json",)

    def recognises(self, file: Glimpse) -> bool:
        """Whether it begins with a learner, as JSON or as UBJSON."""
        return bool(_JSON.match(file.head) or _UBJ.match(file.head))

    def describe(self, file: Glimpse) -> Description:
        """Read what it was trained for; of UBJSON, only the objective."""
        learner: dict[str, Any] = {}
        if file.head[:2] == b"{L":
            with file.path.open("rb") as stream:
                stream.seek(max(0, file.size - _TAIL))
                match = _OBJECTIVE.search(stream.read())
            objective = match[1].decode() if match else ""
        else:
            learner = _learner(file)
            objective = str(learner.get("objective", {}).get("name", ""))[:60]
        shape = learner.get("learner_model_param", {})
        features, classes = _count(shape.get("num_feature")), _count(shape.get("num_class"))
        classifies = objective.startswith(("binary:", "multi:"))
        names = learner.get("feature_names")
        return Description(
            path=file.path,
            format="xgboost",
            kind=f"boosted trees ({objective})" if objective else "boosted trees",
            risk=Risk("data", "trees as plain numbers: nothing in it can run"),
            inputs=(TensorSpec("X", "float32", ("batch", features)),) if features else (),
            task="classify" if classifies else None,
            metadata={
                name: value
                for name, value in {
                    "objective": objective,
                    "classes": str(classes or 2) if classifies and learner else "",
                    "features": ", ".join(map(str, names))[:2000] if isinstance(names, list) else "",
                }.items()
                if value
            },
            files=(file.path,),
        )


def _learner(file: Glimpse) -> dict[str, Any]:
    if file.size > _MAX_TEXT:
        raise InputError(f"{file.path} has {file.size:,} bytes of JSON", "save it as .ubj, which is a third as large")
    try:
        found = json.loads(file.path.read_bytes())["learner"]
        if not isinstance(found, dict) or not all(isinstance(found.get(part, {}), dict) for part in _PARTS):
            raise ValueError("its learner is not an object")
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise InputError(
            f"{file.path} is a damaged XGBoost file: {str(error)[:80]}", "save it again with save_model"
        ) from None
    return found


def _count(value: Any) -> int:
    text = str(value)
    return int(text) if text.isdecimal() and len(text) < 10 else 0


PLUGIN = Plugin(make=XGBoost, summary="XGBoost's own files (.ubj, .json)")
