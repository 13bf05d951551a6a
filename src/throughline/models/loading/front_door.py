"""The front door: everything that must be true before a backend may open a model file."""

from __future__ import annotations

import os

from throughline.contracts.errors import ModelRefused
from throughline.models.formats import Description
from throughline.models.identify import identify
from throughline.models.loading.globals import framework_of, harmless, outside

_TRUST = "give it a passport on this machine, or say --trust if you know where it comes from"


def check(path: str | os.PathLike[str], *, trust: bool = False, passport_holds: bool = False) -> Description:
    """Describe a model that is safe to open; refuse any other.

    Args:
        path: the file.
        trust: the user vouches for programs and whole-model pickles. Nothing else is let off.
        passport_holds: a passport of this machine matches the file, hash and all.

    Raises:
        InputError: it is not a model, or damaged.
        ModelRefused: opening it would run code, leave its folder, or ask for absurd memory.
    """
    description = identify(path)
    require_trust(description, passport_holds, trust)
    if description.format == "onnx":
        from throughline.models.loading.onnx_guard import check_onnx

        check_onnx(description.path)
    elif description.format == "openvino":
        from throughline.models.loading.openvino_guard import check_openvino

        check_openvino(description.path)
    if description.format in ("onnx", "openvino") and not passport_holds:
        from throughline.models.loading.probe import probe_in_child

        probe_in_child(description)
    return description


def require_trust(description: Description, passport_holds: bool, trust: bool) -> None:
    """Refuse what runs code when opened, unless a passport holds or the user vouches for it.

    A pickle that reaches for what no model needs is refused in any case: nobody can vouch for it by mistake.
    """
    risk, path = description.risk, description.path
    if risk.level == "malicious":
        raise ModelRefused(f"{path} is dangerous: {risk.why}", "delete it; no --trust opens it")
    if risk.level != "program" or passport_holds or trust:
        return
    if description.format == "checkpoint":
        raise _whole_model(description)
    raise ModelRefused(f"{path} is a program ({description.kind}): {risk.why}", _TRUST)


def _whole_model(description: Description) -> ModelRefused:
    foreign = outside(description.risk.globals)
    save = "save the weights alone where it was made: torch.save(model.state_dict(), 'weights.pt')"
    vouch = "or say --trust if you know where it comes from (it then runs in a throwaway process)"
    if not foreign:
        return ModelRefused(f"{description.path} is {description.kind}: {description.risk.why}", f"{save}; {vouch}")
    framework = framework_of(foreign)
    shown = next((name for name in foreign if framework_of([name]) is framework), foreign[0])
    problem = f"{description.path} is {description.kind}: its pickle would import {shown}"
    problem += f" and {len(foreign) - 1} more names that are code" if len(foreign) > 1 else ", which is code"
    if framework is not None:
        return ModelRefused(
            f"{problem} ({framework.name})", f"export it there: {framework.export.format(file=description.path)}"
        )
    return ModelRefused(
        problem,
        f"{save}; {vouch}" if harmless(foreign) else f"{save}, then say --class package.module:factory; {vouch}",
    )
