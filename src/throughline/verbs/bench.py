"""``throughline bench``: how fast models are on this machine, with what is inside each number said beside it."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Final

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError
from throughline.evaluation.bench_report import figures, machine, not_measured, write_report
from throughline.evaluation.speeds import INSIDE, NOISY, Faster, Speed, faster, speed, unmeasured
from throughline.files import whole_file, writing
from throughline.models.artifact import read_artifact
from throughline.models.backends import unusable
from throughline.models.choose import choose
from throughline.models.measuring import STRETCH
from throughline.models.surroundings import Surroundings, clock_mhz, look_around
from throughline.terminal import fields, note, styled, table
from throughline.testing.world import World, write_video
from throughline.video.measuring import Series, measure_in_turn, names_apart
from throughline.video.measuring_worker import Setup, takes_pictures
from throughline.video.sources import kind_of
from throughline.vision.decoders import DECODERS

_SEED: Final = 0
_STREET: Final = World(seed=7, width=1280, height=768)
_STREET_FRAMES: Final = 96
_BUSY: Final = 0.15
"""Where more of the processor than this is at work before anything of ours is, the figures are not the models' own."""
_SHORT: Final = 1.0
"""A whole run of fewer seconds says more about how it begins and ends than about its speed."""


@dataclass(frozen=True, slots=True)
class BenchReport:
    """What was measured.

    Attributes:
        source: what the models were shown.
        speeds: the figures of each model at each level.
        compared: each model against the one it is held to, at each level.
        rounds: how many there were, in turn.
        surroundings: the machine as it was found.
        clocks: the processor's clock, before and after.
        report: the page.
        samples: every sample, as JSON.
        notes: what makes the figures doubtful, and what the runtimes had to say.
    """

    source: str
    speeds: tuple[Speed, ...]
    compared: tuple[Faster, ...]
    rounds: int
    surroundings: Surroundings
    clocks: str
    report: Path
    samples: Path
    notes: tuple[str, ...]

    def __str__(self) -> str:
        parts = []
        for level, (title, inside) in INSIDE.items():
            here = [one for one in self.speeds if one.level == level]
            parts += [styled(f"{title[0].upper()}{title[1:]}", "cyan") + f": {inside}"]
            if any(one.measured for one in here):
                parts += [table(*figures(here))]
            parts += [styled(str(one), "bold") for one in self.compared if one.level == level]
            parts += [*not_measured(here), ""]
        return "\n".join([*parts, fields(self._said())])

    def _said(self) -> list[tuple[str, str]]:
        ran_on: dict[str, list[str]] = {}
        for one in self.speeds:
            if one.ran_on:
                ran_on.setdefault(f"{one.model}: {one.ran_on}, batch {one.batch}", []).append(INSIDE[one.level][0])
        return [
            ("source", self.source),
            ("ran on", "\n".join(f"{how} ({', '.join(levels)})" for how, levels in sorted(ran_on.items()))),
            ("rounds", f"{self.rounds}, in an order drawn from seed {_SEED}"),
            *machine(self.surroundings, self.clocks).items(),
            ("report", str(self.report)),
            ("samples", str(self.samples)),
            ("note", "\n".join(self.notes)),
        ]


def bench(
    *models: Path,
    source: str | None = None,
    against: Path | None = None,
    backend: str = "auto",
    device: str = "auto",
    threads: int = 0,
    batch: int | None = None,
    imgsz: int | None = None,
    rounds: int = 10,
    decoder: str | None = None,
    class_: str | None = None,
    trust: bool = False,
    out: Path | None = None,
) -> BenchReport:
    """Measure models on this machine: alone, with pre- and post-processing, and from decoding to the written result.

    Args:
        models: The models. Several are measured in turn, and each is held to the first.
        source: A video or pictures to show them; rows in an .npz where they take no pictures. A street filmed for
            the purpose when not given.
        against: The model that the others are held to.
        backend: The runtime: auto or a backend's name; several with commas between are held to the first.
        device: Where to run: auto, cpu, gpu or gpu:N.
        threads: CPU threads for the models; 0 is every core.
        batch: Frames in one call; 1 when not given, and as run decides it for the whole run.
        imgsz: The models' longer input side, where they leave it open.
        rounds: How often it is each one's turn.
        decoder: How the models' outputs are read, where their files do not say.
        class_: What builds the network that a state dict belongs to (package.module:factory).
        trust: Open models that are programs and that no passport of this machine vouches for.
        out: The folder of the report and the samples; runs/bench-MODEL when not given.
    """
    for flag, value, least in (
        ("rounds", rounds, 1),
        ("batch", batch, 1),
        ("imgsz", imgsz, 1),
        ("threads", threads, 0),
    ):
        if value is not None and value < least:
            raise InputError(f"--{flag} {value}: there would be nothing to measure", f"give {least} or more")
    if decoder is not None:
        DECODERS.get(decoder)  # says which there are
    ways = _ways(models, against, backend)
    artifacts = {name: artifact for name, (artifact, _) in ways.items()}
    _refuse_source(source, artifacts.values())
    folder = Path(out or Path("runs") / f"bench-{next(iter(artifacts.values())).path.stem}")
    start = look_around()
    with _kept_only_with_a_report(folder), tempfile.TemporaryDirectory(prefix="throughline-bench-") as scratch:
        shown, told = _shown(source, artifacts.values(), Path(scratch))
        setups = {
            name: Setup(
                "engine", str(artifact.path), runtime, device, threads, batch, imgsz,
                decoder or artifact.passport.decoder, shown if takes_pictures(artifact) else source, trust, "", STRETCH,
                class_,
            )
            for name, (artifact, runtime) in ways.items()
        }  # fmt: skip
        series, lacking = _measured(setups, artifacts, rounds)
    before, after = start.clock_mhz, clock_mhz()
    clocks = f"{before:,.0f} MHz before, {after:,.0f} MHz after" if before and after else "cannot be read here"
    speeds = _speeds(series, lacking, list(ways), bool(start.gpus))
    compared = _compared(series, list(ways))
    notes = tuple(dict.fromkeys([*_doubts(start, threads, speeds, series), *_said(series)]))
    about = _about(artifacts, series, told, rounds)
    turns = {
        level: {name: [one.turn for one in several.rounds] for name, several in by_name.items()}
        for level, by_name in series.items()
    }
    report = write_report(folder / "report.html", speeds, compared, turns, about, start, clocks, notes)
    samples = _write_samples(folder / "samples.json", about, start, clocks, series)
    return BenchReport(told, speeds, compared, rounds, start, clocks, report, samples, notes)


@contextmanager
def _kept_only_with_a_report(folder: Path) -> Iterator[None]:
    """Make the folder, for one that cannot be made is better known now than after minutes; remove it if all fails."""
    before = folder.exists()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if not before:
            with suppress(OSError):
                folder.rmdir()
        raise


def _ways(models: Sequence[Path], against: Path | None, backend: str) -> dict[str, tuple[Artifact, str]]:
    """Each model on each runtime, by a name of its own; the one that the others are held to comes first."""
    if not models:
        raise InputError("nothing to measure: no model was given", "throughline bench model.onnx")
    runtimes = [part.strip() for part in backend.split(",") if part.strip()]
    if not runtimes:
        raise InputError(f"--backend {backend!r} names nothing", "auto, or backends with commas between")
    for name in runtimes:
        if name != "auto" and (reason := unusable(name)) is not None:
            raise reason
    paths = [Path(path) for path in ([against] if against is not None else []) + list(models)]
    artifacts = [read_artifact(path if path.is_file() else choose(path).path) for path in paths]
    names = names_apart([artifact.path.name for artifact in artifacts])
    several = len(runtimes) > 1
    return {
        f"{name} on {runtime}" if several else name: (artifact, runtime)
        for name, artifact in zip(names, artifacts, strict=True)
        for runtime in dict.fromkeys(runtimes)
    }


def _refuse_source(source: str | None, artifacts: Any) -> None:
    """What cannot be shown to every one of the models, or would set the pace itself."""
    if source is None:
        return
    rows = Path(source).suffix.lower() in (".npz", ".npy")
    for artifact in artifacts:
        if takes_pictures(artifact) == rows:
            wants = (
                "pictures"
                if rows
                else f"no pictures: {', '.join(map(str, artifact.inputs)) or 'its file says nothing'}"
            )
            fix = "give a video, or pictures" if rows else "give rows of its inputs as .npz, or leave --source away"
            raise InputError(f"--source {source}: {artifact.path} takes {wants}", fix)
    if not rows and (kind := kind_of(source)) not in ("file", "images"):
        raise InputError(
            f"--source {source}: a {kind} cannot be measured on: it is read once, or sets the pace itself",
            "give a video file or a folder of pictures",
        )


def _shown(source: str | None, artifacts: Any, scratch: Path) -> tuple[str | None, str]:
    """What models that take pictures are shown, and how that is told."""
    if source is not None:
        return source, source
    if not any(map(takes_pictures, artifacts)):
        return None, "seeded inputs: nobody gave real ones"
    note(f"no --source: filming {_STREET_FRAMES} frames of a synthetic street, {_STREET.width}x{_STREET.height}")
    clip = write_video(_STREET, scratch / "street.mp4", _STREET_FRAMES)
    size = f"{_STREET.width}x{_STREET.height}"
    return str(
        clip
    ), f"a synthetic street filmed for the purpose: {_STREET_FRAMES} frames of {size}, seed {_STREET.seed}"


def _measured(
    setups: Mapping[str, Setup], artifacts: Mapping[str, Artifact], rounds: int
) -> tuple[dict[str, dict[str, Series]], dict[str, dict[str, str]]]:
    """Every level of every model that has it, and why the others do not."""
    series: dict[str, dict[str, Series]] = {}
    lacking: dict[str, dict[str, str]] = {}
    for level, (title, _) in INSIDE.items():
        reasons = {name: _lacks(level, setup, artifacts[name]) for name, setup in setups.items()}
        lacking[level] = {name: why for name, why in reasons.items() if why}
        able = {
            name: dataclasses.replace(setup, level=level)
            for name, setup in setups.items()
            if name not in lacking[level]
        }
        if able:
            note(f"measuring {title}: {', '.join(able)}, {rounds} {'round' if rounds == 1 else 'rounds in turn'}")
        series[level] = measure_in_turn(able, rounds, _SEED) if able else {}
    return series, lacking


def _lacks(level: str, setup: Setup, artifact: Artifact) -> str:
    if level == "engine":
        return ""
    if not takes_pictures(artifact):
        return "it takes no pictures" if artifact.inputs else "its file does not say that it takes pictures"
    return "" if setup.decoder else "its outputs do not say how they are read; give --decoder"


def _speeds(
    series: Mapping[str, Mapping[str, Series]],
    lacking: Mapping[str, Mapping[str, str]],
    names: Sequence[str],
    gpus: bool,
) -> tuple[Speed, ...]:
    found = []
    for level in INSIDE:
        for name in names:
            if name not in series[level]:
                found.append(unmeasured(name, level, lacking[level][name]))
                continue
            one = series[level][name]
            told = speed(name, level, one.held.ran_on, one.held.batch, [each.turn for each in one.rounds])
            found.append(_with_gpu(told, one, gpus))
    return tuple(found)


def _with_gpu(known: Speed, series: Series, gpus: bool) -> Speed:
    """The same with what the GPU said, or why there is nothing to say."""
    seen = [one.gpu for one in series.rounds if one.gpu is not None]
    if not seen:
        why = (
            "no GPU"
            if not gpus
            else "the model runs on the CPU"
            if series.held.device == "cpu"
            else "its driver is silent"
        )
        return dataclasses.replace(known, lacking={**known.lacking, "GPU memory and use": why})
    return dataclasses.replace(
        known,
        gpu_mb=known.gpu_mb if known.gpu_mb is not None else max(one.memory_mb for one in seen),
        gpu_busy=mean(one.busy for one in seen),
        gpu_mhz=mean(one.clock_mhz for one in seen),
    )


def _compared(series: Mapping[str, Mapping[str, Series]], names: Sequence[str]) -> tuple[Faster, ...]:
    first, *others = names
    return tuple(
        faster(
            name, first, level, [one.turn for one in by_name[name].rounds], [one.turn for one in by_name[first].rounds]
        )
        for level, by_name in series.items()
        if first in by_name
        for name in others
        if name in by_name
    )


def _doubts(
    start: Surroundings, threads: int, speeds: Sequence[Speed], series: Mapping[str, Mapping[str, Series]]
) -> list[str]:
    doubts = []
    if start.busy > _BUSY:
        doubts.append(
            f"other programs kept {start.busy:.0%} of the processor at work before this began: the figures are lower "
            "than the machine can give"
        )
    for level, (title, _) in INSIDE.items():
        apart = [
            f"{one.spread:.0%} ({one.model})"
            for one in speeds
            if one.level == level and one.spread is not None and one.spread > NOISY
        ]
        if apart:
            doubts.append(f"{title}: the rounds differ by {', '.join(apart)}: the machine is not quiet")
    given = {name: ", ".join(one.held.inputs) for name, one in series["engine"].items()}
    if len({tuple(spec.partition(" ")[2] for spec in one.held.inputs) for one in series["engine"].values()}) > 1:
        told = "; ".join(f"{name} {inputs}" for name, inputs in given.items())
        doubts.append(f"not all are given as much to look at, so that a ratio is not of the models alone: {told}")
    if threads > start.cores:
        doubts.append(f"{threads} threads share {start.cores} cores: they stand in each other's way")
    walls = [each.turn.wall for one in series["run"].values() for each in one.rounds]
    if walls and min(walls) < _SHORT:
        doubts.append(f"a whole run lasted {min(walls):.2f} s: give a longer --source")
    return doubts


def _said(series: Mapping[str, Mapping[str, Series]]) -> list[str]:
    """What the runtimes had to say of how they run the models."""
    return [
        f"{name}: {said}" for by_name in series.values() for name, one in by_name.items() for said in one.held.notes
    ]


def _about(
    artifacts: Mapping[str, Artifact], series: Mapping[str, Mapping[str, Series]], told: str, rounds: int
) -> dict[str, str]:
    about = {"source": told, "rounds": f"{rounds}, each model's turn in an order drawn from seed {_SEED}"}
    for level, by_name in series.items():
        for name, one in by_name.items():
            held = one.held
            about[f"{name}, {INSIDE[level][0]}"] = "; ".join(
                filter(
                    None, (held.ran_on, f"batch {held.batch}", *held.inputs, held.fed, f"warmed up by {held.warm_up}")
                )
            )
    about.update({f"{name}, sha256": artifact.sha256 for name, artifact in artifacts.items()})
    return about


def _write_samples(
    path: Path,
    about: Mapping[str, str],
    start: Surroundings,
    clocks: str,
    series: Mapping[str, Mapping[str, Series]],
) -> Path:
    """Every sample and all that is known of how it came about; times are in seconds."""
    told = {
        "about": about,
        "machine": {**dataclasses.asdict(start), "clocks": clocks},
        "levels": {
            level: {
                "inside": INSIDE[level][1],
                "models": {name: dataclasses.asdict(one) for name, one in by_name.items()},
            }
            for level, by_name in series.items()
        },
    }
    with whole_file(path) as draft:
        draft.write_text(json.dumps(told, allow_nan=False), "utf-8")
    return path
