"""A state dict is numbers without a shape; this builds the module they belong to, named as ``package.module:factory``.

Naming a factory is an act of trust in code that is already installed here. The
checkpoint itself has no say in which.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from throughline.contracts.errors import InputError, MissingExtra, nearest

if TYPE_CHECKING:
    import torch

_EXAMPLE = "write it as package.module:factory, for example my_project.models:build"


def architecture(spec: str) -> torch.nn.Module:
    """Build the module that ``spec`` names, on the CPU and in evaluation mode."""
    try:
        from torch import nn
    except ModuleNotFoundError:
        raise MissingExtra("torch", "--class", "torch") from None
    module_name, colon, factory_name = spec.partition(":")
    parts = [*module_name.split("."), *factory_name.split(".")]
    if not colon or not all(part.isidentifier() for part in parts):
        raise InputError(f"'{spec}' does not name a factory", _EXAMPLE)
    try:
        with _working_folder_first():
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            problem = f"there is no module '{error.name}' here"
        else:
            problem = f"'{module_name}' needs the module '{error.name}', which is not here"
        raise InputError(problem, "install it, or run it in the folder that holds it") from None
    except Exception as error:
        raise InputError(
            f"importing '{module_name}' failed: {type(error).__name__}: {error}", "mend the module"
        ) from error
    factory: Any = module
    for part in factory_name.split("."):
        if not hasattr(factory, part):
            public = [name for name in dir(factory) if not name.startswith("_")]
            raise InputError(f"'{module_name}' has no '{part}'", nearest(part, public))
        factory = getattr(factory, part)
    if not callable(factory):
        raise InputError(f"'{spec}' is {type(factory).__name__}, which cannot be called", "name a class or a function")
    try:
        built = factory()
    except Exception as error:
        raise InputError(
            f"'{spec}' cannot be built without arguments: {type(error).__name__}: {error}",
            "name a function that takes none and returns the module",
        ) from error
    if not isinstance(built, nn.Module):
        raise InputError(f"'{spec}' gave {type(built).__name__}, not a torch.nn.Module", "return the module itself")
    return built.eval()


@contextmanager
def _working_folder_first() -> Iterator[None]:
    """People name the code of the project they stand in, which an installed command does not look into by itself."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def fill(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """Put the tensors into the module; an ``InputError`` names what is missing, left over or of another shape."""
    own = module.state_dict()
    missing = [name for name in own if name not in tensors]
    unexpected = [name for name in tensors if name not in own]
    shapes = [
        f"{name} is {list(tensors[name].shape)}, not {list(own[name].shape)}"
        for name in own
        if name in tensors and own[name].shape != tensors[name].shape
    ]
    problems = [
        f"{title}: {', '.join(found[:5])}" + (f" and {len(found) - 5} more" if len(found) > 5 else "")
        for title, found in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if found
    ]
    if problems:
        raise InputError(
            f"the weights do not fit {type(module).__name__}: {'; '.join(problems)}",
            "name the class they were saved from",
        )
    module.load_state_dict(dict(tensors), strict=True)
    return module
