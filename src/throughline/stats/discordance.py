"""Two classifiers on the same samples: only those that one has right and the other wrong can tell them apart.

McNemar's test comes in three kinds. With the chi-square it is wrong for few samples; the exact one is
right and far too careful, since counts move in steps; the mid-p counts what was seen itself by half and keeps
its 5 % (docs/compare.md shows all three). The interval of the difference is Tango's, which holds its 95 % even
where hardly any sample, or none, tells the two apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from throughline.contracts.errors import InputError
from throughline.stats.paired import Effect, Test, crossing, scipy_stats

_WIDE = 1.959963984540054
"""Half of a 95 % interval, in standard errors."""


@final
@dataclass(frozen=True, slots=True)
class Discordance:
    """How the answers of two models fall together.

    Attributes:
        lost: how many the reference has right and the candidate wrong.
        won: how many the candidate has right and the reference wrong.
        samples: how many there are, those that both have right or both wrong included.
    """

    lost: int
    won: int
    samples: int

    def __post_init__(self) -> None:
        if min(self.lost, self.won) < 0 or self.samples < max(1, self.lost + self.won):
            raise InputError(
                f"{self.lost} lost and {self.won} won of {self.samples} samples cannot be",
                "count each sample once: there must be at least one, and as many as tell the models apart",
            )

    @property
    def difference(self) -> float:
        """The candidate's share of right answers less the reference's."""
        return (self.won - self.lost) / self.samples

    @property
    def error(self) -> float:
        """Its standard error."""
        scatter = (self.won + self.lost) / self.samples - self.difference**2
        return math.sqrt(max(0.0, scatter) / self.samples)


def mcnemar(found: Discordance) -> Test:
    """Whether wins and losses are as even as tosses of a coin, by the mid-p."""
    apart = found.lost + found.won
    if not apart:
        return Test("McNemar", 0.0, 1.0, found.samples)
    fewer = min(found.lost, found.won)
    coin = scipy_stats().binom
    p = 2 * float(coin.cdf(fewer, apart, 0.5)) - float(coin.pmf(fewer, apart, 0.5))
    return Test("McNemar", float(fewer), min(1.0, p), found.samples)


def mcnemar_exact(found: Discordance) -> Test:
    """The same without the half: never too often wrong, and seldom able to say anything."""
    apart = found.lost + found.won
    p = float(scipy_stats().binomtest(found.won, apart).pvalue) if apart else 1.0
    return Test("McNemar, exact", float(min(found.lost, found.won)), p, found.samples)


def difference_interval(found: Discordance) -> tuple[float, float]:
    """From where to where the difference of the two shares is with 95 %, by Tango's score."""
    at = found.difference
    low = crossing(lambda share: _score(found, share) - _WIDE, -1.0, at)
    high = crossing(lambda share: _score(found, share) + _WIDE, at, 1.0)
    return low, high


def odds_ratio(found: Discordance) -> Effect:
    """How many samples the candidate wins for each that it loses."""
    apart = found.lost + found.won
    if not apart:
        return Effect("odds ratio", math.nan, 0.0, math.inf)
    share = scipy_stats().binomtest(found.won, apart).proportion_ci(method="wilson")
    low, high = (_odds(float(edge)) for edge in (share.low, share.high))
    return Effect("odds ratio", _odds(found.won / apart), low, high)


def risk_difference(found: Discordance) -> Effect:
    """The candidate's share of right answers less the reference's."""
    return Effect("risk difference", found.difference, *difference_interval(found))


def _odds(share: float) -> float:
    return share / (1 - share) if share < 1 else math.inf


def _score(found: Discordance, difference: float) -> float:
    """How many standard errors what was seen lies above a difference (Tango 1998); it falls as the difference grows."""
    many, lost, won = found.samples, found.lost, found.won
    first = 2.0 * many
    second = -lost - won + (2 * many - won + lost) * difference
    third = -lost * difference * (1 - difference)
    likely = (math.sqrt(max(0.0, second**2 - 4 * first * third)) - second) / (2 * first)
    variance = many * (2 * likely + difference * (1 - difference))
    distance = won - lost - many * difference
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)
