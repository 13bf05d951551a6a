"""One shape for every judgement: verify, compare, drift and promotion all end in a Verdict."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was measured against its limit."""

    name: str
    observed: float | str
    limit: float | str
    passed: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was judged (file hashes or names) and every check that was made."""

    subjects: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """True when there were checks and each of them passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)
