"""The command line: a verb's name leads to its function, which is loaded only when called.

The list below is all that ``throughline --help`` needs, so help costs nothing
but Python's own start. For a verb, Cyclopts makes the options from the
function's signature and docstring: there is no second list of flags.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from throughline.contracts.errors import InputError, ThroughlineError, nearest

VERBS = {
    "inspect": "What a model file is and whether it is safe to open; what a data set holds, and what is wrong",
    "doctor": "What this machine has, which backends work on it, and every setting with who set it",
    "run": "Models over video: every frame accounted for, and nothing lost to a kill",
    "export": "Another form of a model, proven to be the same model, or not written",
    "verify": "Whether a model file is the same model as another, and where it is not",
    "optimize": "The fastest way to run a model on this machine that keeps its accuracy",
    "bench": "How fast models are here: alone, with everything around them, and over a whole video",
    "evaluate": "How good a model is on labelled data, how sure that is, for whom it is worse, what it gets wrong",
    "compare": "Whether one model is better than another on the same data, not worse, worse, or too close to tell",
    "explain": "Where a model looked in a picture, or what each column of a row added to its answer",
    "train": "The next version of a model by a recipe, which can be killed, goes on, and can be done again",
    "tune": "Many values of a recipe tried, the best kept; of several objectives, the front of them",
    "runs": "The runs of training that were written down: a list, one whole, or several side by side",
    "register": "A model under a name and a number, where whoever serves it finds it",
    "promote": "Let production follow another version of a model, on evidence",
    "rollback": "Let production follow again what it followed before",
    "history": "The versions of a model, and who let production follow which, when, why and on what evidence",
    "serve": "Models behind a port: Triton's protocol, and pictures as they are",
    "key": "A new API key for serving, of which only the hash is kept",
    "monitor": "Whether what comes in is still what a model was made for, and which frames to label first",
    "deploy": "The files that put a proven model into production: Docker, Kubernetes, BentoML, Triton",
    "demo": "The whole job on a street whose truth is known, and how right it was",
}

COMMON = """\
  --json     print one JSON object on stdout; everything else goes to stderr
  --debug    show the traceback of an error"""

EXIT_CODES = """\
  0  done                        4  a source failed, or could not be read to its end
  1  a fault of Throughline's    5  model refused: unsafe, or its proof failed
  2  wrong input or usage        6  this machine lacks what was asked for
  3  done, with gaps             130  interrupted; a run can go on"""

_FOR_PROGRAMS = "callback"
"""A parameter of this name takes what only a program can give: it is no option of the command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit code."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    if not tokens or tokens[0] in {"-h", "--help"}:
        print(overview())
        return 0
    if tokens[0] == "--version":
        from throughline import __version__

        print(f"throughline {__version__}")
        return 0
    as_json, debug = _take(tokens, "--json"), _take(tokens, "--debug")
    _hear_the_library()
    try:
        return _print(_call(tokens), as_json)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output left ("| head"): nothing is wrong, and nobody is there to tell.
        sys.stdout = None
        return 0
    except Exception as error:
        if debug:
            import traceback

            traceback.print_exc()
        return _explain(error, as_json)


def overview() -> str:
    """The text of ``throughline --help``."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name.ljust(width)}  {summary}" for name, summary in VERBS.items())
    return (
        "throughline VERB [OPTIONS]: one line from weights to production, with proof at every step\n\n"
        f"Verbs (throughline VERB --help tells more):\n{verbs}\n\n"
        f"Every verb takes:\n{COMMON}\n\nExit codes:\n{EXIT_CODES}"
    )


def verb_app(name: str) -> Any:
    """One verb as a Cyclopts application."""
    import importlib
    import re

    from cyclopts import App, Parameter

    if name not in VERBS:
        raise InputError(f"there is no verb '{name}'", nearest(name, VERBS))
    function = getattr(importlib.import_module(f"throughline.verbs.{name}"), name)
    app = App(
        name=f"throughline {name}",
        version_flags=[],
        default_parameter=Parameter(negative=(), parse=re.compile(f"^(?!{_FOR_PROGRAMS}$)")),
        help_format="plaintext",
        help_formatter="plain",
        help_epilogue=f"Every verb takes:\n{COMMON}",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    app.default(function)
    return app


def _hear_the_library() -> None:
    """What the library has to say (a choice made, a candidate passed over) goes to stderr as notes."""
    import logging

    from throughline.terminal import note

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(record.getMessage())

    logger = logging.getLogger("throughline")
    logger.handlers = [Notes()]
    logger.setLevel(logging.INFO)


def _call(tokens: list[str]) -> Any:
    from cyclopts import CycloptsError

    app = verb_app(tokens[0])
    try:
        return app(tokens[1:], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        reason = " ".join(str(error).split())
        raise InputError(reason, f"throughline {tokens[0]} --help lists every option") from None


def _print(report: Any, as_json: bool) -> int:
    if report is None:
        return 0
    if as_json:
        import json

        print(json.dumps(_plain(report), indent=2, allow_nan=False))
    else:
        print(report)
    sys.stdout.flush()
    return int(getattr(report, "exit_code", 0))


def _plain(value: Any) -> Any:
    """A report as JSON values; what JSON cannot say (a path, an infinite number) becomes text."""
    import dataclasses
    import math

    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _explain(error: Exception, as_json: bool) -> int:
    from throughline.terminal import printable, styled

    if isinstance(error, ThroughlineError):
        problem, fix, code = error.problem, error.fix, error.exit_code
    else:
        problem = f"Throughline failed: {type(error).__name__}: {error}"
        fix, code = "this is a fault of ours; run it again with --debug and report what it prints", 1
    problem, fix = printable(problem), printable(fix)
    print(f"{styled('error', 'red', stream='stderr')}: {problem}" + (f"\n  fix: {fix}" if fix else ""), file=sys.stderr)
    if as_json:
        import json

        print(json.dumps({"error": {"problem": problem, "fix": fix, "exit_code": code}}, indent=2))
    return code


def _take(tokens: list[str], flag: str) -> bool:
    """Remove a flag that every verb understands; what follows "--" is not ours."""
    end = tokens.index("--") if "--" in tokens else len(tokens)
    found = flag in tokens[:end]
    tokens[:] = [token for at, token in enumerate(tokens) if at >= end or token != flag]
    return found


if __name__ == "__main__":
    sys.exit(main())
