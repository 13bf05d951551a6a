"""A scikit-learn estimator as a .skops file whose bytes follow from the estimator alone.

skops names its parts by their addresses in memory and dates them, so no two of its files are alike. Here the parts are
counted in the order in which they are named, and have no date.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any, Final

_NO_DATE: Final = (1980, 1, 1, 0, 0, 0)


def write_skops(estimator: Any, path: Path) -> None:
    """Write an estimator; the same one gives the same bytes."""
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(estimator))) as packed:
        schema = json.loads(packed.read("schema.json"))
        numbers: dict[Any, int] = {}
        files: dict[str, str] = {}
        _count(schema, numbers, files)
        parts = {files[name]: packed.read(name) for name in packed.namelist() if name in files}
    parts["schema.json"] = json.dumps(schema, indent=1).encode()
    with zipfile.ZipFile(path, "w") as out:
        for name in sorted(parts):
            out.writestr(zipfile.ZipInfo(name, _NO_DATE), parts[name], zipfile.ZIP_DEFLATED)


def _count(node: Any, numbers: dict[Any, int], files: dict[str, str]) -> None:
    if isinstance(node, dict):
        if "__id__" in node:
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers))
        if isinstance(node.get("file"), str):
            before = node["file"]
            node["file"] = files.setdefault(before, f"{len(files)}{Path(before).suffix}")
        for value in node.values():
            _count(value, numbers, files)
    elif isinstance(node, list):
        for value in node:
            _count(value, numbers, files)
