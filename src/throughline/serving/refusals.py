"""Why a request gets no answer, as HTTP and gRPC say it: at once, and with a reason.

Errors of the rest of the product carry their own status (``ThroughlineError.http_status``); these are the server's own.
"""

from __future__ import annotations

from typing import final

from throughline.contracts.errors import ThroughlineError


@final
class Refused(ThroughlineError):
    """This request is not answered, and the others are."""

    def __init__(
        self,
        status: int,
        problem: str,
        fix: str = "",
        retry_after: float | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        """``retry_after`` is in seconds, for those who may come again."""
        super().__init__(problem, fix)
        self.status = status
        self.retry_after = retry_after
        self.headers = headers


def status_of(error: BaseException) -> int:
    """The HTTP status of an error; what nobody foresaw is a fault of ours."""
    if isinstance(error, Refused):
        return error.status
    return error.http_status if isinstance(error, ThroughlineError) else 500


def kind_of(error: BaseException) -> str:
    """A word for an error, for counting: few, and never what a client wrote."""
    return _KINDS.get(status_of(error), "server" if status_of(error) >= 500 else "input")


_KINDS = {
    401: "unauthorised",
    403: "forbidden",
    404: "not_found",
    405: "method",
    408: "slow",
    413: "too_large",
    429: "queue_full",
    503: "overload",
    504: "late",
}
