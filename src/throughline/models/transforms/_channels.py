"""Which channels of a network hang together, and which of them count the least.

A channel that one layer makes is read by others, added to channels of further layers, split off and put side by side
again. Each number of each weight belongs to such a channel, so a channel can be taken out whole: the network that is
left has smaller layers, and no zeros in them. ``_network_channels`` and ``_graph_channels`` find them in what PyTorch
and ONNX write; here is what both write down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError, nearest

Channels: TypeAlias = npt.NDArray[np.int64]
"""The number of the channel at each place of a tensor's second axis."""
IMPORTANCE: Final = ("l1", "scale")
_MULTIPLE: Final = 4
"""So many channels are kept together: processors compute them side by side."""


@final
@dataclass(frozen=True, slots=True)
class Tie:
    """The places along one axis of a weight, and the channels that they belong to.

    ``role`` is "filter" where the weight makes the channels, "scale" where it scales them, else "".
    """

    weight: str
    axis: int
    channels: Channels
    role: str = ""


@final
@dataclass(slots=True, eq=False)
class Map:
    """Every channel of a network.

    Attributes:
        ties: which weights hold what of which channel, by weight and axis.
        made_by: the layers that make each channel, by channel.
        frozen: the channels that cannot go.
        after: the channels of each node's result.
    """

    ties: dict[tuple[str, int], Tie] = field(default_factory=dict)
    made_by: dict[int, str] = field(default_factory=dict)
    frozen: set[int] = field(default_factory=set)
    after: dict[str, Any] = field(default_factory=dict)
    _parents: list[int] = field(default_factory=list)

    def new(self, count: int, layer: str) -> Channels:
        """Channels that a layer makes."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        self.made_by.update(dict.fromkeys(range(first, first + count), layer))
        return np.arange(first, first + count)

    def tie(self, weight: str, axis: int, channels: Channels, role: str = "") -> None:
        """Say what a weight holds; where it is used twice, it is the same channels both times."""
        before = self.ties.setdefault((weight, axis), Tie(weight, axis, channels, role))
        if before.channels is not channels:
            self.join(before.channels, channels)

    def root(self, channel: int) -> int:
        """What stands for all channels that are one with it."""
        while self._parents[channel] != channel:
            self._parents[channel] = self._parents[self._parents[channel]]
            channel = self._parents[channel]
        return channel

    def join(self, here: Channels, there: Channels) -> None:
        """Make channels one, place by place."""
        for one, other in zip(here.tolist(), there.tolist(), strict=True):
            low, high = sorted((self.root(one), self.root(other)))
            self._parents[high] = low

    def freeze(self, found: Any) -> None:
        """Keep these."""
        if isinstance(found, np.ndarray):
            self.frozen.update(found.tolist())
        elif isinstance(found, list | tuple):
            for one in found:
                self.freeze(one)

    def groups(self) -> dict[tuple[str, ...], list[int]]:
        """The channels that may go, by the layers that make them; layers that are added up are one group."""
        members: dict[int, set[str]] = {}
        for channel, layer in self.made_by.items():
            members.setdefault(self.root(channel), set()).add(layer)
        stay = {self.root(channel) for channel in self.frozen}
        found: dict[tuple[str, ...], list[int]] = {}
        for channel, layers in sorted(members.items()):
            if channel not in stay:
                found.setdefault(tuple(sorted(layers)), []).append(channel)
        return found

    def tensors(self) -> Iterator[set[int]]:
        """What stands for the channels of each tensor that has any."""
        for made in self.after.values():
            for part in made if isinstance(made, list | tuple) else (made,):
                if isinstance(part, np.ndarray) and part.size:
                    yield {self.root(channel) for channel in part.tolist()}

    def going(self, gone: set[int]) -> dict[tuple[str, int], Channels]:
        """The places that go, by weight and axis, of every weight that loses any."""
        places = {
            key: np.flatnonzero([self.root(channel) in gone for channel in tie.channels.tolist()])
            for key, tie in self.ties.items()
        }
        return {key: found for key, found in places.items() if len(found)}


def check(ratio: float, importance: str) -> None:
    """Refuse options that mean nothing."""
    if not 0 < ratio < 1:
        raise InputError(f"ratio={ratio}: it is the share of channels that goes", "give a number between 0 and 1")
    if importance not in IMPORTANCE:
        raise InputError(f"importance='{importance}': there is no such measure", nearest(importance, IMPORTANCE))


def least(found: Map, weight: Callable[[str], Array], ratio: float, importance: str) -> tuple[set[int], int]:
    """The channels to take out, and how many layers they are made by.

    Args:
        found: every channel.
        weight: gives a weight by its name.
        ratio: the share that goes, of each layer; rounded so that multiples of four stay.
        importance: "l1" or "scale".
    """
    counts = _counts(found, weight, importance)
    gone: set[int] = set()
    touched: set[str] = set()
    for layers, members in found.groups().items():
        keep = len(members) - round(len(members) * ratio)
        keep = min(len(members), max(1, -(-keep // _MULTIPLE) * _MULTIPLE))
        ranked = sorted(members, key=lambda channel: (counts.get(channel, 0.0), channel))
        if leaving := ranked[: len(members) - keep]:
            gone.update(leaving)
            touched.update(layers)
    for roots in found.tensors():
        if roots <= gone:  # half of a layer's channels, split off, may be the least important half
            gone.discard(max(roots, key=lambda channel: (counts.get(channel, 0.0), -channel)))
    return gone, len(touched)


def _counts(found: Map, weight: Callable[[str], Array], importance: str) -> Mapping[int, float]:
    """How much each channel counts, each layer's channels compared with their own mean."""
    role = "filter" if importance == "l1" else "scale"
    ties = [tie for tie in found.ties.values() if tie.role == role]
    if not ties:
        raise InputError("importance='scale': the network has no batch normalisation", "use importance='l1'")
    counts: dict[int, list[float]] = {}
    for tie in ties:
        values = np.abs(weight(tie.weight)).astype(np.float32)
        sums = values.sum(axis=tuple(axis for axis in range(values.ndim) if axis != tie.axis))
        shares = (sums / max(float(sums.mean()), 1e-12)).tolist()
        for channel, share in zip(tie.channels.tolist(), shares, strict=True):
            counts.setdefault(found.root(channel), []).append(share)
    return {channel: sum(shares) / len(shares) for channel, shares in counts.items()}
