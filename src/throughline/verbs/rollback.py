"""``throughline rollback``: let production follow again what it followed before."""

from __future__ import annotations

from throughline.registry.promotion import roll_back
from throughline.registry.registering import open_store
from throughline.verbs.promote import PromoteReport, report_of


def rollback(model: str, /, *, alias: str = "champion", reason: str = "") -> PromoteReport:
    """Let an alias point again to the version that it pointed to before; called again it goes back further.

    Needs no evidence: that version was in its place already. It is written down like any other move.

    Args:
        model: The model's registered name.
        alias: The alias that goes back.
        reason: Why, for the record.
    """
    return report_of(roll_back(open_store(), model, alias, reason=reason))
