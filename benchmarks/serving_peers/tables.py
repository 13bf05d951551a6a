"""What was found, as plain tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

from throughline.terminal import table

Found = dict[str, dict[str, Any]]
_SHARES = ("refused", "late", "unanswered")


def of(found: Found, rounds: int) -> str:
    """Every table that there are figures for, one below the other."""
    parts = [f"\n{title}\n{table(head, rows)}" for title, head, rows in _all(found, rounds) if rows]
    parts += [f"\n{name} has no more figures: {kept['absent']}" for name, kept in found.items() if "absent" in kept]
    return "\n".join(parts)


def _all(found: Found, rounds: int) -> Iterator[tuple[str, tuple[str, ...], list[Sequence[str]]]]:
    turns = {name: kept["speed"] for name, kept in found.items() if kept.get("speed")}
    speed = {name: several for name, several in turns.items() if "64" in several[0]}
    yield (
        f"Speed, requests a second: median of {rounds} round(s), and the share of the plain loop",
        ("server", "64 clients", "share", "8 clients", "share", "wrk 64", "the loop", "client's core", "MiB at rest"),
        [_speed(name, several) for name, several in speed.items()],
    )
    yield (
        "One client: milliseconds over the network's own time",
        ("server", "p50", "p99", "the network"),
        [_alone(name, several) for name, several in speed.items()],
    )
    overload = {name: several for name, several in turns.items() if "overload" in several[0]}
    yield (
        "Overload: requests come at so many times the peak, each of use within 250 ms",
        (
            "server",
            "load",
            "asked/s",
            "sent/s",
            "in time/s",
            "of peak",
            "refused",
            "too late",
            "unanswered",
            "refusal p99",
        ),
        [row for name, several in overload.items() for row in _overload(name, several)],
    )
    yield (
        "In that overload: is it well, what it holds, and how late the client itself was",
        (
            *("server", "load", "health p99", "missed", "other port p99", "missed"),
            *("MiB before", "MiB after", "client late p99", "its core"),
        ),
        [row for name, several in overload.items() for row in _well(name, several)],
    )
    yield (
        "One poisoned request among eight: how many of the seven beside it failed",
        ("server", "it makes the network fail", "it has another size"),
        _once(found, "poison", lambda one: [_of_poison(one["value"]), _of_poison(one["size"])]),
    )
    yield (
        "300 slow clients, 256 open files: another client's requests, each waited for 2 s",
        ("server", "answered", "server is alive"),
        _once(found, "slow", lambda one: [f"{one['answered']} of {one['asked']}", "yes" if one["alive"] else "no"]),
    )
    yield (
        "SIGTERM with 16 clients at work",
        ("server", "lost, sent before", "lost, sent after", "refused", "exit code", "seconds", "left running"),
        _once(
            found,
            "stop",
            lambda one: [
                str(one["lost_before"]), str(one["lost_after"]), str(one["refused"]),
                "none in 20 s" if one["code"] is None else str(one["code"]),
                f"{one['seconds']:.1f}", f"{one['left']} of {one['processes']}",
            ],
        ),
    )  # fmt: skip
    yield (
        "One model in another's place, under load",
        ("server", "swaps", "a swap, p50 ms", "requests", "failed"),
        _once(
            found,
            "swaps",
            lambda one: [f"{one['swaps']}", f"{one['swap_p50_ms']:.0f}", f"{one['requests']:,}", f"{one['failed']}"],
        ),
    )


def _speed(name: str, turns: list[dict[str, Any]]) -> Sequence[str]:
    def share(clients: str) -> str:
        return f"{100 * median(turn[clients]['rate'] / turn['limit']['rate'] for turn in turns):.0f} %"

    def rate(clients: str) -> str:
        return f"{median(turn[clients]['rate'] for turn in turns):.0f}"

    core = median(turn["64"]["cpu"] / turn["64"]["seconds"] for turn in turns)
    return (
        name, rate("64"), share("64"), rate("8"), share("8"), _middle([turn.get("wrk") for turn in turns]),
        f"{median(turn['limit']['rate'] for turn in turns):.0f}", f"{100 * core:.0f} %",
        f"{median(turn['idle_mb'] for turn in turns):.0f}",
    )  # fmt: skip


def _alone(name: str, turns: list[dict[str, Any]]) -> Sequence[str]:
    def over(at: str) -> str:
        taken = [turn["1"]["latency"]["200"][at] - turn["limit"]["one_ms"] for turn in turns if turn["1"]["rate"]]
        return f"{median(taken):.2f}" if taken else "-"

    return name, over("p50"), over("p99"), f"{median(turn['limit']['one_ms'] for turn in turns):.2f}"


def _overload(name: str, turns: list[dict[str, Any]]) -> Iterator[Sequence[str]]:
    for several in zip(*(turn["overload"] for turn in turns), strict=True):
        mid = {key: median(one[key] for one in several) for key in ("asked", "sent", "good", *_SHARES)}
        yield (
            name, f"{several[0]['factor']}x", *(f"{mid[key]:.0f}" for key in ("asked", "sent", "good")),
            f"{100 * median(one['good'] / one['peak'] for one in several):.0f} %",
            *(f"{100 * mid[key]:.0f} %" for key in _SHARES), _middle([one["refused_p99_ms"] for one in several], " ms"),
        )  # fmt: skip


def _well(name: str, turns: list[dict[str, Any]]) -> Iterator[Sequence[str]]:
    for several in zip(*(turn["overload"] for turn in turns), strict=True):
        cells = []
        for which in ("health", "ops"):
            asked = [one[which] for one in several if one[which]]
            missed, total = sum(one["missed"] for one in asked), sum(one["asked"] for one in asked)
            cells += [_middle([one["p99_ms"] for one in asked], " ms"), f"{missed} of {total}" if total else "-"]
        yield (
            name, f"{several[0]['factor']}x", *cells,
            *(_middle([one[key] for one in several]) for key in ("before_mb", "after_mb")),
            _middle([one["client_late_p99_ms"] for one in several], " ms"),
            f"{100 * median(one['client_cpu'] for one in several):.0f} %",
        )  # fmt: skip


def _once(found: Found, measure: str, cells: Callable[[dict[str, Any]], list[str]]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = []
    for name, kept in found.items():
        for one in kept.get(measure, ()):
            rows.append((name, "no figure, see above") if "absent" in one else (name, *cells(one)))
    if not rows:
        return rows
    widest = max(map(len, rows))
    return [(*row, *[""] * (widest - len(row))) for row in rows]


def _of_poison(one: dict[str, int]) -> str:
    passed = one["poisoned"] - one["refused"]
    return f"{one['failed']} of {one['neighbours']}" + (f"; it got no error {passed} times" if passed else "")


def _middle(values: list[float | None], unit: str = "") -> str:
    known = [value for value in values if value is not None]
    return f"{median(known):.0f}{unit}" if known else "-"
