"""``report.html``: what a run did, in one file that opens anywhere and asks nothing of any network.

What was seen is read again from the run's own ``detections.jsonl``, so the report shows
what the results say and not what somebody remembered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from throughline.contracts.runs import Accounting, Ending
from throughline.reports import charts
from throughline.reports.charts import clock
from throughline.reports.page import Page, figure, figures, pairs
from throughline.video.seen import Kind, Seen

_TRACKS = 40
_GAPS = 20
_SAMPLES = 6


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """One source of a run.

    Attributes:
        name: what the user called it.
        folder: where its results are; ``detections.jsonl`` and ``samples/`` are read from it if they are there.
        ending: how it ended; None where it was interrupted and can go on.
        accounting: what became of its frames.
        reason: why it failed, if it did.
        about: its size, rate and length in words.
    """

    name: str
    folder: Path
    ending: Ending | None
    accounting: Accounting
    reason: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What the report cannot read from the results.

    Attributes:
        name: the run's name.
        sources: its sources, in order.
        seconds: how long it worked, in all its sittings.
        stage_ms: busy milliseconds per frame, by stage.
        speed: (seconds since the start, frames per second) along the run.
        models: for each model what its passport says, by field.
        settings: every setting by name, with its value and where it came from.
        footer: a closing line: the version, the machine.
    """

    name: str
    sources: tuple[SourceSummary, ...]
    seconds: float
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    speed: tuple[tuple[float, float], ...] = ()
    models: tuple[Mapping[str, str], ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    footer: str = ""


def write_report(folder: Path, summary: RunSummary) -> Path:
    """Write ``report.html`` into the run's folder, whole or not at all."""
    return _page(summary).write(folder / "report.html")


def _page(summary: RunSummary) -> Page:
    seen = [
        Seen.read(path) if (path := source.folder / "detections.jsonl").exists() else None for source in summary.sources
    ]
    state, says = _verdict(summary.sources)
    inferred = sum(source.accounting.inferred for source in summary.sources)
    tiles = [("frames seen", f"{inferred:,}")]
    found = [one for one in seen if one is not None]
    if any(one.objects.totals or not one.whole.totals for one in found):
        tiles.append(("detections", f"{sum(sum(one.objects.totals.values()) for one in found):,.0f}"))
        tiles.append(("tracks", f"{sum(len(one.tracks) for one in found):,}"))
    if summary.seconds > 0:
        tiles.append(("frames per second", f"{inferred / summary.seconds:,.1f}"))
    tiles.append(("time", clock(summary.seconds)))
    sections = [
        _accounting(summary.sources),
        *(
            _source(source, one)
            for source, one in zip(summary.sources, seen, strict=True)
            if source.accounting.inferred
        ),
        _speed(summary),
        *(pairs("Model", model) for model in summary.models),
        pairs("Settings", summary.settings),
    ]
    return Page("Throughline run", summary.name, state, state.upper(), says, dict(tiles), sections, summary.footer)


def _verdict(sources: Sequence[SourceSummary]) -> tuple[str, str]:
    """The worst ending of all, and what it means."""
    endings = [source.ending for source in sources]
    missing = sum(len(source.accounting.gaps) for source in sources)
    if Ending.FAILED in endings:
        return "failed", f"{endings.count(Ending.FAILED)} of {len(endings)} sources could not be read to the end."
    if None in endings:
        return "interrupted", "The run was stopped before its end. It can be resumed."
    if Ending.GAPS in endings:
        return (
            "gaps",
            f"Every source was read to its end, with {missing} {'gap' if missing == 1 else 'gaps'} on the way.",
        )
    return "complete", "Every frame of every source is accounted for."


def _accounting(sources: Sequence[SourceSummary]) -> str:
    rows = []
    for source in sources:
        kept = source.accounting
        state = source.ending.value if source.ending else "interrupted"
        dropped = [f"{count:,} {escape(reason)}" for reason, count in kept.dropped.items()] or ["0"]
        gaps = [f"{clock(gap.start)} to {clock(gap.end)}: {escape(gap.reason)}" for gap in kept.gaps[:_GAPS]]
        if len(kept.gaps) > _GAPS:
            gaps.append(f"and {len(kept.gaps) - _GAPS} more")
        about = f'<p class="note">{escape(source.about)}</p>' if source.about else ""
        reason = f'<p class="note">{escape(source.reason)}</p>' if source.reason else ""
        rows.append(
            f'<tr><th scope="row">{escape(source.name)}{about}</th>'
            f'<td><span class="{state}">{state.upper()}</span>{reason}</td>'
            f'<td class="number">{"not said" if kept.declared is None else f"{kept.declared:,}"}</td>'
            f'<td class="number">{kept.decoded:,}</td><td class="number">{kept.inferred:,}</td>'
            f'<td class="number">{"<br>".join(dropped)}</td><td>{"<br>".join(gaps) or "none"}</td></tr>'
        )
    heads = [f'<th scope="col">{name}</th>' for name in ("source", "ended")]
    heads += [f'<th scope="col" class="number">{name}</th>' for name in ("declared", "decoded", "seen", "dropped")]
    heads += ['<th scope="col">gaps</th>']
    return (
        '<section><h2>Accounting</h2><div class="wide"><table>'
        "<caption>Every frame that was decoded was either seen by the model or dropped for a reason.</caption>"
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _source(source: SourceSummary, seen: Seen | None) -> str:
    head = f"<section><h2>{escape(source.name)}</h2>"
    if seen is None:
        return f'{head}<p class="note">There is no detections.jsonl to tell what was seen.</p></section>'
    gaps = [(gap.start, gap.end) for gap in source.accounting.gaps]
    span = min([seen.first, *(start for start, _ in gaps)]), max([seen.last, *(end for _, end in gaps)])
    colour: dict[Kind, int] = {}
    parts = [head, f'<p class="note">{seen.frames:,} frames, {clock(span[0])} to {clock(span[1])}</p>']
    for model in seen.objects.models():
        groups = _groups(seen.objects.kinds(model))
        colour |= {kind: number for number, kinds in enumerate(groups.values()) for kind in kinds}
        parts.append(_objects(seen, model, groups, span, gaps))
    if not seen.objects.totals:
        parts.append(f"<p>{'No object' if seen.whole.totals else 'Nothing'} was found in any of them.</p>")
    if seen.tracks:
        parts.append(_lifetimes(seen, span, colour))
    parts += [_whole(seen, model, _groups(seen.whole.kinds(model)), span, gaps) for model in seen.whole.models()]
    parts.append(_samples(source.folder / "samples"))
    return "".join(parts) + "</section>"


def _groups(kinds: Sequence[Kind]) -> dict[str, Sequence[Kind]]:
    """What shares a line: the most frequent kinds have their own, the rest have one together."""
    groups: dict[str, Sequence[Kind]] = {name: [(model, name)] for model, name in kinds[: charts.COLOURS - 1]}
    if rest := kinds[charts.COLOURS - 1 :]:
        groups[rest[0][1] if len(rest) == 1 else f"{len(rest)} other classes"] = rest
    return groups


def _objects(
    seen: Seen, model: str, groups: Mapping[str, Sequence[Kind]], span: tuple[float, float], gaps: charts.Points
) -> str:
    totals = {name: round(sum(seen.objects.totals[kind] for kind in kinds)) for name, kinds in groups.items()}
    lives: Counter[Kind] = Counter(track.kind for track in seen.tracks.values())
    followed = {whose for whose, _ in lives}
    told = []
    for name, kinds in groups.items():
        tracks = sum(lives[kind] for kind in kinds)
        tracked = f", {tracks:,} {'track' if tracks == 1 else 'tracks'}" if model in followed else ""
        told.append((name, f"{totals[name]:,} {'detection' if totals[name] == 1 else 'detections'}{tracked}"))
    drawn = charts.lines(
        f"Objects in a frame over time, by class{_of(model)}",
        f"Average number of objects in a frame from {clock(span[0])} to {clock(span[1])}. "
        f"In all: {', '.join(f'{total:,} {name}' for name, total in totals.items())}.",
        {name: seen.rates(seen.objects, kinds) for name, kinds in groups.items()},
        span,
        gaps,
    )
    return f"<h3>Objects in a frame{escape(_of(model))}</h3>{drawn}{_legend(told)}"


def _whole(
    seen: Seen, model: str, groups: Mapping[str, Sequence[Kind]], span: tuple[float, float], gaps: charts.Points
) -> str:
    about = "How sure it was of what the whole frame shows, from 0 to 1, on average."
    told = []
    for name, kinds in groups.items():
        frames = sum(seen.surest[kind] for kind in kinds)
        told.append((name, f"the surest in {frames:,} {'frame' if frames == 1 else 'frames'}"))
    drawn = charts.lines(
        f"What the whole frame shows, over time{_of(model)}",
        f"{about} {', '.join(f'{name}: {says}' for name, says in told)}.",
        {name: seen.rates(seen.whole, kinds) for name, kinds in groups.items()},
        span,
        gaps,
    )
    return f'<h3>The frame as a whole{escape(_of(model))}</h3><p class="note">{about}</p>{drawn}{_legend(told)}'


def _of(model: str) -> str:
    """Whose word it is, where there are several."""
    return f", by {model}" if model else ""


def _legend(told: Sequence[tuple[str, str]]) -> str:
    """What each colour stands for, in the order of the lines."""
    rows = "".join(
        f'<li><i style="background:var(--c{number})"></i><b>{escape(name) or "(no name)"}</b> {escape(says)}</li>'
        for number, (name, says) in enumerate(told)
    )
    return f'<ul class="legend">{rows}</ul>'


def _lifetimes(seen: Seen, span: tuple[float, float], colour: Mapping[Kind, int]) -> str:
    longest = sorted(seen.tracks.items(), key=lambda one: (one[1].start - one[1].end, one[0]))[:_TRACKS]
    longest.sort(key=lambda one: (one[1].start, one[0]))
    rows = [
        (
            f"#{identity}",
            f"{track.kind[1]} #{identity}: {clock(track.start)} to {clock(track.end)}, seen in {track.frames:,} frames",
            track.start,
            track.end,
            colour[track.kind],
        )
        for identity, track in longest
    ]
    shown = (
        f"The {len(rows)} longest of {len(seen.tracks):,} tracks." if len(seen.tracks) > len(rows) else "All tracks."
    )
    about = f"{shown} Each bar reaches from when an object was first seen to when it was last seen."
    return f'<h3>Tracks</h3><p class="note">{about}</p>{charts.gantt("Track lifetimes", about, rows, span)}'


def _samples(folder: Path) -> str:
    pictures = sorted(folder.glob("*.jpg"))[:_SAMPLES]
    if not pictures:
        return ""
    shown = (
        figure(path.read_bytes(), f"frame {int(path.stem):,} with its detections drawn", f"frame {int(path.stem):,}")
        for path in pictures
    )
    return f"<h3>Samples</h3>{figures(shown)}"


def _speed(summary: RunSummary) -> str:
    parts = []
    if summary.stage_ms:
        rows = [(name, spent, f"{spent:.2f} ms") for name, spent in summary.stage_ms.items()]
        about = "Busy milliseconds per frame. Stages work side by side, so their sum is not what the run took."
        parts.append(
            f'<h3>Stages</h3><p class="note">{about}</p>'
            + charts.bars(
                "Busy time per frame, by stage", about + " " + ", ".join(f"{a}: {c}" for a, _, c in rows), rows
            )
        )
    if len(summary.speed) > 1:
        span = summary.speed[0][0], summary.speed[-1][0]
        drawn = charts.lines(
            "Frames per second over the run",
            f"From {clock(span[0])} to {clock(span[1])} of working time.",
            {"frames per second": summary.speed},
            span,
        )
        parts.append(f'<h3>Speed</h3><p class="note">Frames per second, along the working time.</p>{drawn}')
    return f"<section><h2>Time</h2>{''.join(parts)}</section>" if parts else ""
