"""What a comparison found, kept in a file that can be shown later to whoever decides: who was judged, on what, how.

Replacing a model in production rests on such a file, perhaps days after it was written and by
somebody else. So it carries the ties of a passport: a checksum, so that an edited figure is
noticed, and this machine's seal, so that a figure that was made up elsewhere does not count here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from throughline.contracts.errors import InputError, ModelRefused
from throughline.contracts.verdicts import Verdict
from throughline.files import whole_file
from throughline.models import passport

VERSION: Final = 1
_LARGEST: Final = 16 * 2**20
_HASH: Final = re.compile("[0-9a-f]{64}")
_AGAIN: Final = "compare the two models again on this machine: throughline compare REFERENCE CANDIDATE --data DATA"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A verdict on two models, the reference first, and what it rests on.

    Attributes:
        verdict: what was checked; its subjects are the sha256 of the reference and of the candidate.
        created: when, in seconds since 1970.
        data_sha256: names the data that both models were asked about.
        metric: what was compared.
        sentence: what came of it, for people.
        figures: the numbers it rests on, by name: the difference, its interval, the margin.
        checksum: sha256 of everything above.
        seal: only this machine could have made it; empty when nothing vouches for the file.
    """

    verdict: Verdict
    created: float
    data_sha256: str
    metric: str
    sentence: str
    figures: Mapping[str, float] = field(default_factory=dict)
    checksum: str = ""
    seal: str = ""

    @property
    def reference(self) -> str:
        """The sha256 of the model that was held to."""
        return self.verdict.subjects[0]

    @property
    def candidate(self) -> str:
        """The sha256 of the model in question."""
        return self.verdict.subjects[1]

    @property
    def passed(self) -> bool:
        """Whether the candidate may take the reference's place."""
        return self.verdict.passed

    @property
    def sealed_here(self) -> bool:
        """Whether this machine wrote it, as it now is."""
        return passport.was_sealed(_sealed_text(self), self.seal)


def write_evidence(
    path: Path,
    verdict: Verdict,
    *,
    data_sha256: str,
    metric: str,
    sentence: str,
    figures: Mapping[str, float] | None = None,
    created: float | None = None,
) -> Evidence:
    """Write what was found, whole or not at all, sealed by this machine; returns it as written.

    Args:
        path: the file.
        verdict: what was checked, of the sha256 of the reference and of the candidate.
        data_sha256: names the data.
        metric: what was compared.
        sentence: what came of it, for people.
        figures: the numbers it rests on; one that is not finite is left out, since JSON has none.
        created: when; now when None.
    """
    known = {name: float(value) for name, value in (figures or {}).items() if math.isfinite(value)}
    evidence = Evidence(verdict, time.time() if created is None else created, data_sha256, metric, sentence, known)
    try:
        _parse(_to_json(replace(evidence, checksum="0" * 64)))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"this cannot be kept as evidence: {error}", "give what a comparison of two models found"
        ) from None
    evidence = replace(evidence, checksum=_checksum(evidence))
    evidence = replace(evidence, seal=passport.seal_of(_sealed_text(evidence)))
    with whole_file(path) as draft:
        draft.write_text(json.dumps(_to_json(evidence), indent=2, allow_nan=False) + "\n", "utf-8")
    return evidence


def read_evidence(path: Path, *, trust: bool = False) -> Evidence:
    """What a comparison found, from its file.

    Args:
        path: the file that ``compare`` wrote.
        trust: take it although another machine wrote it; one that was changed is refused all the same.

    Raises:
        InputError: it cannot be read, or is no such file.
        ModelRefused: it was changed after it was written, or this machine did not write it.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"{path.stat().st_size:,} bytes; at most {_LARGEST:,} are read")
        evidence = _parse(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror or error}", "give the file that compare wrote"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path}: not the evidence of a comparison: {reason}", _AGAIN) from None
    if not hmac.compare_digest(evidence.checksum, _checksum(evidence)):
        raise ModelRefused(f"{path}: it was changed after it was written", _AGAIN)
    if not (trust or evidence.sealed_here):
        raise ModelRefused(f"{path}: this machine did not write it, so nothing vouches for it here", _AGAIN)
    return evidence


def _checksum(evidence: Evidence) -> str:
    body = _to_json(replace(evidence, checksum="", seal=""))
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _sealed_text(evidence: Evidence) -> str:
    """What is sealed: never mistakable for a passport's hash."""
    return f"evidence {_checksum(evidence)}"


def _to_json(evidence: Evidence) -> dict[str, Any]:
    return {"evidence": VERSION, **json.loads(json.dumps(asdict(evidence), default=dict))}


def _parse(body: Any) -> Evidence:
    if not isinstance(body, dict):
        raise TypeError(f"it is {type(body).__name__}, not an object")
    fields = dict(body)
    if (version := fields.pop("evidence")) != VERSION or isinstance(version, bool):
        raise ValueError(f"'evidence' is {version!r}; this version reads {VERSION}")
    if unknown := set(fields) - set(Evidence.__dataclass_fields__):
        raise ValueError(f"it has an unknown key '{min(unknown)}'")
    fields["verdict"] = passport.parse_verdict(fields["verdict"])
    for name, value in (
        ("the reference", fields["verdict"].subjects[:1]),
        ("the candidate", fields["verdict"].subjects[1:]),
        ("'data_sha256'", [fields["data_sha256"]]),
        ("'checksum'", [fields["checksum"]]),
        ("'seal'", [fields["seal"] or "0" * 64]),
    ):
        if len(value) != 1 or not isinstance(value[0], str) or not _HASH.fullmatch(value[0]):
            raise ValueError(f"{name} is not one sha256 in hexadecimal")
    for name in ("metric", "sentence"):
        if not isinstance(fields[name], str) or not fields[name]:
            raise TypeError(f"'{name}' is {fields[name]!r}, not text")
    figures = fields.setdefault("figures", {})
    if not isinstance(figures, dict) or not all(_is_number(value) for value in figures.values()):
        raise TypeError(f"'figures' is {figures!r}, not numbers by name")
    if not _is_number(fields["created"]):
        raise TypeError(f"'created' is {fields['created']!r}, not a time in seconds")
    return Evidence(**fields)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
