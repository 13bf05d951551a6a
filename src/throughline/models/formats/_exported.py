"""What exporters write beside the graph, understood once for every format.

YOLO exports carry ``names``, ``stride``, ``imgsz`` and ``task`` as text; others
carry a few of them. The text comes from the file, so it is read by a grammar
that can only give numbers and strings, and never grows.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

_MAX_TEXT = 1 << 20
_MAX_FIELDS = 1000
_LABEL = re.compile(r"""\s*(?:(\d{1,6})\s*:\s*)?('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")\s*(?:,|$)""")
_TASKS = {
    "detect": "detect", "detection": "detect", "object-detection": "detect", "segment": "segment", "pose": "pose",
    "segmentation": "segment", "obb": "obb", "classify": "classify", "classification": "classify",
    "image-classification": "classify",
}  # fmt: skip


def exported_fields(text: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a Description that this metadata fills."""
    lowered = {key.lower(): value for key, value in text.items() if len(value) <= _MAX_TEXT}
    size = _numbers(lowered.get("imgsz", lowered.get("input_size", "")))
    stride = _numbers(lowered.get("stride", ""))
    labels = labels_from(next((lowered[key] for key in ("names", "labels", "classes") if key in lowered), ""))
    return {
        "task": _TASKS.get(lowered.get("task", "").strip().lower()),
        "labels": labels,
        "imgsz": (size[0], size[-1]) if size and min(size) > 0 and len(size) <= 2 else None,
        "stride": max(stride) if stride and max(stride) > 0 else None,
        "licence": lowered.get("license") or lowered.get("licence") or None,
        "author": lowered.get("author") or None,
        "decoder": decoder if (decoder := lowered.get("decoder", "")).isidentifier() else None,
        "metadata": {
            key: value if len(value) <= 4000 else value[:4000] + "..."
            for key, value in islice(text.items(), _MAX_FIELDS)
        },
    }


def labels_from(text: str) -> tuple[str, ...]:
    """Class names out of a JSON or Python list or dictionary; empty where the text is neither."""
    text = text.strip()
    if len(text) > _MAX_TEXT:
        return ()
    if text[:1] + text[-1:] not in ("{}", "[]", "()"):
        lines = [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]
        return tuple(lines) if len(lines) > 1 else ()
    try:
        return labels_of(json.loads(text))
    except (ValueError, RecursionError):
        pass
    found: list[tuple[int, str]] = []
    position, inner = 0, text[1:-1].strip()
    while position < len(inner):
        match = _LABEL.match(inner, position)
        if match is None:
            return ()
        try:
            found.append((int(match[1] or len(found)), str(ast.literal_eval(match[2]))))
        except (ValueError, SyntaxError):
            return ()
        position = match.end()
    return tuple(label for _, label in sorted(found))


def labels_of(value: Any) -> tuple[str, ...]:
    """Class names out of a list, or a dictionary numbered by class."""
    if isinstance(value, list | tuple):
        return tuple(str(label) for label in value) if all(isinstance(label, str) for label in value) else ()
    if not isinstance(value, dict) or not all(isinstance(label, str) for label in value.values()):
        return ()
    try:
        return tuple(label for _, label in sorted((int(key), label) for key, label in value.items()))
    except (TypeError, ValueError):
        return ()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"-?\d{1,9}", text[:200])) if "." not in text else _floats(text)


def _floats(text: str) -> tuple[int, ...]:
    return tuple(int(float(number)) for number in re.findall(r"-?\d{1,9}(?:\.\d{0,9})?", text[:200]))
