"""TorchScript: a zip archive of code and weights. A program, which runs as soon as it is opened."""

from __future__ import annotations

import json
import re
from typing import Any

from throughline.contracts.artifacts import TensorSpec
from throughline.contracts.errors import InputError
from throughline.models.formats import Description, Glimpse, Risk
from throughline.models.formats._exported import exported_fields
from throughline.models.formats._precision import precision_of
from throughline.models.loading.archives import Archive
from throughline.models.loading.checkpoint_file import is_torchscript
from throughline.models.loading.claims import MAX_DIMENSIONS, Claim, claims
from throughline.models.loading.pickles import Call, Global, read_pickles
from throughline.plugins import Plugin

_FORWARD = re.compile(r"def forward\(self: __torch__\.[\w.]{1,300},?\s*(.{0,2000}?)\)\s*->\s*([^:]{1,500}):", re.DOTALL)
_MAX_CODE = 64 << 20
_MAX_EXTRA = 1 << 20
_MAX_INPUTS = 64
_DTYPES = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")


class TorchScript:
    """A ``.torchscript`` file."""

    suffixes = (".torchscript", ".jit", ".pt", ".pth", ".ptl")

    def recognises(self, file: Glimpse) -> bool:
        """Whether it is an archive with compiled code in it."""
        return file.archive is not None and is_torchscript(file.archive)

    def describe(self, file: Glimpse) -> Description:
        """Read what was written beside the code, and measure the weights."""
        archive = file.archive
        assert archive is not None
        code = [name for name in archive.entries if name.startswith(f"{archive.root}code/") and name.endswith(".py")]
        mobile = archive.has("bytecode.pkl")
        found, owner = _weights(archive)
        elements: dict[str, int] = {}
        for claim in found:
            elements[claim.dtype] = elements.get(claim.dtype, 0) + claim.elements
        text = _extra(archive)
        inputs = _specs(text.pop("inputs", ""))
        fields = exported_fields(text)
        if (forward := _forward(archive, owner)) is not None:
            fields["metadata"]["forward"] = forward
        fields.pop("decoder")
        return Description(
            path=file.path,
            format="torchscript",
            kind=("mobile program" if mobile else "program") + f" of {len(code)} code files",
            risk=Risk("program", "TorchScript is a program: its code can read and write files when it runs"),
            inputs=inputs,
            precision=precision_of(elements),
            parameters=sum(elements.values()),
            files=(file.path,),
            **fields,
        )


def _weights(archive: Archive) -> tuple[list[Claim], Global | None]:
    """The tensors, and the class whose ``forward`` is the program's."""
    name = f"{archive.root}data.pkl"
    if name not in archive.entries:
        raise InputError(f"{archive.path} is a TorchScript archive without its data.pkl", "export the model again")
    reading = read_pickles(archive.read(name), count=1)
    if reading.broken:
        raise InputError(f"{archive.path} is a damaged TorchScript file: {reading.broken}", "copy it again")
    owner = reading.root.function if isinstance(reading.root, Call) else None
    return list(claims(reading.root)), owner if isinstance(owner, Global) else None


def _extra(archive: Archive) -> dict[str, str]:
    """The files that an exporter put beside the code; a JSON object among them is taken apart."""
    found: dict[str, str] = {}
    prefix = f"{archive.root}extra/"
    for name in list(archive.entries)[:10_000]:
        if not name.startswith(prefix) or archive.entries[name].file_size > _MAX_EXTRA:
            continue
        text = archive.read(name).decode("utf-8", "replace")
        try:
            value: Any = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            found.update((str(key), item if isinstance(item, str) else json.dumps(item)) for key, item in value.items())
        else:
            found[name.removeprefix(prefix)] = text[:2000]
    return found


def _specs(text: str) -> tuple[TensorSpec, ...]:
    """What the program takes, where its exporter said so: it names its arguments itself, but not their shapes."""
    try:
        said = [(each["name"], each["dtype"], each["shape"]) for each in json.loads(text)][:_MAX_INPUTS]
        fits = all(
            isinstance(name, str)
            and dtype in _DTYPES
            and len(shape) <= MAX_DIMENSIONS
            and all(type(size) in (int, str) and (isinstance(size, str) or size >= 0) for size in shape)
            for name, dtype, shape in said
        )
    except (ValueError, RecursionError, KeyError, TypeError):
        return ()
    return tuple(TensorSpec(name[:200], dtype, tuple(shape)) for name, dtype, shape in said) if fits else ()


def _forward(archive: Archive, owner: Global | None) -> str | None:
    """How the program is called, as its own source says."""
    name = f"{archive.root}code/{owner.module.replace('.', '/')}.py" if owner is not None else ""
    if owner is None or name not in archive.entries or archive.entries[name].file_size > _MAX_CODE:
        return None
    _, found, body = archive.read(name).decode("utf-8", "replace").partition(f"class {owner.name}(Module):")
    match = _FORWARD.search(body[: 1 << 20]) if found else None
    return f"({' '.join(match[1].split())}) -> {' '.join(match[2].split())}"[:500] if match else None


PLUGIN = Plugin(make=TorchScript, summary="a compiled PyTorch program (.torchscript)")
