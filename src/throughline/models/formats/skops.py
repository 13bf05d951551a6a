"""skops: a scikit-learn estimator as a tree of named types and plain numbers, instead of a pickle.

Which types it is built of stands in the file and can be read without building any. Those of scikit-learn, XGBoost and
LightGBM are known; a file that asks for another is a program, like a pickle.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from throughline.contracts.errors import InputError
from throughline.models.formats import Description, Glimpse, Risk
from throughline.plugins import Plugin

_SCHEMA: Final = "schema.json"
_MAX_SCHEMA: Final = 64 << 20
_KNOWN: Final = ("sklearn.", "numpy.", "scipy.sparse.", "xgboost.", "lightgbm.")
_PLAIN: Final = frozenset(
    f"builtins.{name}"
    for name in ("dict", "list", "tuple", "set", "str", "int", "float", "bool", "bytes", "bytearray", "slice", "type")
) | {"collections.OrderedDict", "collections.defaultdict"}
_BUILDING: Final = frozenset({
    "ObjectNode", "DictNode", "DefaultDictNode", "ListNode", "TupleNode", "SetNode", "JsonNode", "NdArrayNode",
    "SparseMatrixNode", "TreeNode", "BytesNode", "BytearrayNode", "SliceNode", "MaskedArrayNode", "RandomStateNode",
    "RandomGeneratorNode", "TypeNode", "CachedNode", "LossNode", "SGDNode", "DTypeNode", "DatetimeNode",
})  # fmt: skip
"""The parts of a file that build values; others call functions by name."""


class Skops:
    """A ``.skops`` file."""

    suffixes = (".skops",)

    def recognises(self, file: Glimpse) -> bool:
        """Whether it is an archive with the schema that skops writes."""
        return (
            file.archive is not None and _SCHEMA in file.archive.entries and "constants.pkl" not in file.archive.entries
        )

    def describe(self, file: Glimpse) -> Description:
        """List what it would be built of."""
        assert file.archive is not None
        try:
            schema = json.loads(file.archive.read(_SCHEMA, _MAX_SCHEMA))
            nodes = list(_nodes(schema))
            kind, version = _name(schema), str(schema["_skops_version"])[:40]
            asked = sorted({_name(node) for node in nodes} | {name for node in nodes for name in _called(node)})
            final, steps = _final(schema), kind.rpartition(".")[2]
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
            raise InputError(f"{file.path} is a damaged skops file: {str(error)[:80]}", "save it again") from None
        strange = tuple(name for name in asked if not name.startswith(_KNOWN) and name not in _PLAIN)
        calling = sorted({str(node["__loader__"])[:40] for node in nodes} - _BUILDING)
        if strange or calling:
            what = ", ".join(strange[:4]) or f"functions by name ({', '.join(calling[:4])})"
            risk = Risk("program", f"opening it would import {what}", strange)
        else:
            risk = Risk("data", "numbers and the names of scikit-learn's own types: nothing else is built")
        return Description(
            path=file.path,
            format="skops",
            kind=f"estimator {steps}" + (f" ending in {final}" if final != steps else ""),
            risk=risk,
            task="classify" if final.endswith(("Classifier", "LogisticRegression", "SVC", "NB")) else None,
            producer=f"skops {version}",
            files=(file.path,),
            metadata={"estimator": kind[:200]},
        )


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every node of the tree; not by recursion, which a deep file would break."""
    waiting = [schema]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            if "__loader__" in here:
                yield here
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)


def _name(node: dict[str, Any]) -> str:
    return f"{node['__module__']}.{node['__class__']}"[:300]


def _called(node: dict[str, Any]) -> Iterator[str]:
    content = node.get("content")
    if isinstance(content, dict) and isinstance(content.get("module_path"), str):
        yield f"{content['module_path']}.{content.get('function', '?')}"[:300]


def _final(schema: dict[str, Any]) -> str:
    """The class that gives the answers: the last step of a pipeline."""
    here = schema
    while here["__class__"] == "Pipeline":
        here = here["content"]["content"]["steps"]["content"][-1]["content"][1]
    return str(here["__class__"])[:100]


PLUGIN = Plugin(make=Skops, summary="a scikit-learn estimator (.skops)")
