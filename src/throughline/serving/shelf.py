"""The models that are served, each with its versions: which one a request goes to, and how one takes another's place.

A new version is opened, warmed up and shown to work beside the one that serves. Only when it does, and takes what
clients send, do requests go to it; the old one answers what it had accepted, and is closed. Where anything fails, the
old one goes on as if nothing had been tried.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from throughline.contracts.artifacts import TensorSpec
from throughline.contracts.errors import InputError, nearest
from throughline.models.references import is_reference, resolved
from throughline.serving.metrics import Metrics
from throughline.serving.refusals import Refused
from throughline.serving.served import Running, Served, opened
from throughline.serving.shadow import Shadow


@final
@dataclass(slots=True, eq=False)
class Model:
    """One name, and what answers to it.

    Attributes:
        source: where its versions come from: a file, or a registered model's name.
        versions: those that are open, by number.
        weights: the share of requests that each gets.
        shadow: which one is asked besides, and only compared.
    """

    name: str
    source: str
    versions: dict[str, Served] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    shadow: Shadow | None = None
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def current(self) -> Served:
        """The version that most requests go to."""
        if not self.weights:
            raise Refused(503, f"the model '{self.name}' is not loaded", "load it first", 1.0)
        return self.versions[max(self.weights, key=lambda one: self.weights[one])]

    def chosen(self) -> Served:
        """The version that this request goes to."""
        if len(self.weights) == 1:
            return self.versions[next(iter(self.weights))]
        if not self.weights:
            return self.current
        return self.versions[random.choices(list(self.weights), list(self.weights.values()))[0]]


@final
class Shelf:
    """Every model of a server."""

    def __init__(self, running: Running, metrics: Metrics, say: Callable[[str], None]) -> None:
        self.models: dict[str, Model] = {}
        self.running, self.metrics, self._say = running, metrics, say
        self._ending: set[asyncio.Task[None]] = set()

    def find(self, name: str, version: str | None = None) -> Served:
        """What a request for this model goes to.

        Raises:
            Refused: there is no such model or version.
        """
        model = self.model(name)
        if version is None:
            return model.chosen()
        if version not in model.versions:
            known = ", ".join(model.versions) or "none"
            raise Refused(404, f"'{name}' has no version '{version[:40]}'", f"its versions are: {known}")
        return model.versions[version]

    def model(self, name: str) -> Model:
        """A model by its name."""
        if (model := self.models.get(name)) is None:
            raise Refused(404, f"there is no model '{name[:80]}'", nearest(name[:80], self.models))
        return model

    @property
    def ready(self) -> bool:
        """Whether every model has a version that answers."""
        return bool(self.models) and all(model.weights for model in self.models.values())

    async def load(self, name: str, source: str | None = None) -> Served:
        """Open a model, or the version that its source now leads to, and send requests there once it works.

        Raises:
            ThroughlineError: it does not work; what served before goes on.
        """
        if source is None and name not in self.models:
            raise Refused(404, f"there is no model '{name[:80]}'", nearest(name[:80], self.models))
        if not is_name(name):
            raise InputError(f"{name[:80]!r} is no name for a model", "letters, digits, '-', '_' and '.'")
        known = self.models.get(name) or Model(name, source or "")
        async with known.changing:
            wanted = source or known.source
            version, path = await asyncio.to_thread(_version, wanted, list(known.versions))
            before = known.current if known.weights else None
            if before is not None and version in known.versions:
                if before.version != version:
                    if known.shadow is not None and known.shadow.served.version == version:
                        known.shadow = None  # it is asked in earnest now
                    self._move(known, {version: 1.0})
                return known.versions[version]
            served = await self._opened(name, version, path, before, "unload the model first")
            if served is before:
                return served
            known.source = wanted
            known.versions[version] = served
            self.models[name] = known
            if known.shadow is None or known.shadow.served.version != version:
                self._move(known, {version: 1.0})
        self._say(f"{name} version {version}: {served.session}, batches of up to {served.rows}")
        return served

    async def stage(self, name: str, source: str) -> Served:
        """Open another version beside those that serve; nothing goes to it yet."""
        model = self.model(name)
        async with model.changing:
            before = model.current
            version, path = await asyncio.to_thread(_version, source, list(model.versions))
            if version in model.versions:
                return model.versions[version]
            served = await self._opened(name, version, path, before, "serve it under a name of its own")
            if served is not before:
                model.versions[version] = served
            return served

    def split(self, name: str, weights: Mapping[str, float], shadow: str | None = None) -> None:
        """Share requests out among versions that are open, and have one more asked besides."""
        model = self.model(name)
        for version in (*weights, *([shadow] if shadow else [])):
            self.find(name, version)
        total = sum(weights.values())
        if not weights or min(weights.values()) < 0 or not 0 < total < float("inf"):
            raise InputError(f"weights {dict(weights)}: they share out nothing", "give numbers above 0")
        if shadow in weights:
            raise InputError(f"version {shadow} answers requests already", "a shadow is a version that gets none")
        model.shadow = Shadow(model.versions[shadow]) if shadow else None
        self._move(model, {version: weight / total for version, weight in weights.items() if weight})

    async def unload(self, name: str) -> None:
        """Send nothing to a model any more, and close it once it has answered what it accepted."""
        model = self.model(name)
        async with model.changing:
            model.shadow = None
            self._move(model, {})

    async def idle(self) -> None:
        """Wait until no model has anything to do."""
        for served in [one for model in self.models.values() for one in model.versions.values()]:
            await served.batcher.idle()

    async def close(self) -> None:
        """Answer everything that was accepted, and close every model."""
        for model in self.models.values():
            model.shadow = None
            self._move(model, {})
        while self._ending:
            await asyncio.gather(*self._ending)

    async def _opened(self, name: str, version: str, path: Path, before: Served | None, fix: str) -> Served:
        """A version that works and takes what clients send; the one before it where the two are the same file."""
        found = await asyncio.to_thread(opened, path, self.running)
        if before is not None:
            same = before.artifact.sha256 == found.artifact.sha256
            problem = "" if same else _incompatible(before.inputs, found.session.inputs)
            if same or problem:
                await asyncio.to_thread(found.session.close)
            if problem:
                raise Refused(409, f"version {version} of '{name}' {problem}", fix)
            if same:
                return before
        return Served(
            name, version, found, self.running, lambda rows, seconds: self.metrics.batch(name, version, rows, seconds)
        )

    def _move(self, model: Model, weights: dict[str, float]) -> None:
        model.weights = weights
        kept = {*weights, *([model.shadow.served.version] if model.shadow else [])}
        for version in [one for one in model.versions if one not in kept]:
            served = model.versions.pop(version)
            self.metrics.serving.labels(model.name, version).set(0)
            task = asyncio.get_running_loop().create_task(self._end(served))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for version, share in weights.items():
            self.metrics.serving.labels(model.name, version).set(share)
            self.metrics.queue.labels(model.name, version).set_function(model.versions[version].waiting)

    async def _end(self, served: Served) -> None:
        await served.close()
        if served.version not in self.models[served.name].versions:
            self.metrics.forget(served.name, served.version)
        self._say(f"{served.name} version {served.version} is closed")


def is_name(text: str) -> bool:
    """Whether a model may be called so."""
    return 0 < len(text) <= 100 and text.strip(".") != "" and all(one.isalnum() or one in "-_." for one in text)


def _version(source: str, taken: list[str]) -> tuple[str, Path]:
    """The number of what a source leads to now, and its file; files count up from 1."""
    path = resolved(source)
    if is_reference(source):
        from throughline.models.mlflow_server import server
        from throughline.models.references import parse, version_of

        return str(version_of(server(), parse(source)).version), path
    return str(max((int(one) for one in taken if one.isdecimal()), default=0) + 1), path


def _incompatible(before: tuple[TensorSpec, ...], now: tuple[TensorSpec, ...]) -> str:
    """What clients of the one could not send to the other; nothing where they can go on as they did."""
    theirs = {spec.name: spec for spec in now}
    for spec in before:
        other = theirs.pop(spec.name, None)
        if other is None:
            return f"does not take '{spec.name}', which clients send"
        fits = len(spec.shape) == len(other.shape) and all(
            not isinstance(new, int) or old == new for old, new in zip(spec.shape, other.shape, strict=True)
        )
        if other.dtype != spec.dtype or not fits:
            return f"takes {other}, and clients send {spec}"
    return f"also wants {next(iter(theirs))}" if theirs else ""
