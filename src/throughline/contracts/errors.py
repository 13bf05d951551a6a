"""Every error that Throughline raises on purpose, with its exit code and HTTP status.

An error is part of the interface: it says what was wrong with the value seen
and what is allowed (``problem``), and what to do about it (``fix``).

    ThroughlineError           exit 1   HTTP 500   a fault of ours
    |- InputError              exit 2   HTTP 400   what was given is missing, unreadable or malformed
    |  `- SettingsError        exit 2   HTTP 400   a setting, profile or configuration file is wrong
    |- SourceFailed            exit 4   HTTP 502   a source cannot be read, or not to its end
    |- ModelRefused            exit 5   HTTP 422   opening this model is unsafe, or its proof failed
    |  `- PassportMismatch     exit 5   HTTP 409   the passport and its file disagree
    `- Unavailable             exit 6   HTTP 501   this machine lacks something that was asked for
       `- MissingExtra         exit 6   HTTP 501   an optional package is not installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class ThroughlineError(Exception):
    """Something went wrong that we can explain: ``problem`` and how to ``fix`` it."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(problem, fix)
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.problem}\n  fix: {self.fix}" if self.fix else self.problem


class InputError(ThroughlineError):
    """What was given is missing, unreadable or malformed."""

    exit_code = 2
    http_status = 400


class SettingsError(InputError):
    """A setting, a profile or a configuration file is wrong."""


class SourceFailed(ThroughlineError):
    """A source cannot be read, or not to its end."""

    exit_code = 4
    http_status = 502


class ModelRefused(ThroughlineError):
    """Opening this model is unsafe, or the proof that it is right failed."""

    exit_code = 5
    http_status = 422


class PassportMismatch(ModelRefused):
    """The passport and the file beside it disagree."""

    http_status = 409


class Unavailable(ThroughlineError):
    """This machine lacks something that was asked for."""

    exit_code = 6
    http_status = 501


class MissingExtra(Unavailable):
    """An optional package is not installed."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs {package}, which is not installed", f"pip install 'throughline[{extra}]'")


def first_line(error: Exception) -> str:
    """The first line of a library's error that says something; libraries put pages after it, or nothing at all."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Say which valid name the caller probably meant, for the ``fix`` of an error."""
    names = sorted(allowed)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    choices = "one of: " + ", ".join(names) if names else "nothing is available here"
    return f"did you mean '{close[0]}'? ({choices})" if close else choices
