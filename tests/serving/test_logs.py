"""What is written while the server runs: lines of JSON, not too many, without a secret."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline.serving.logs import Log, Overheard, scrubber

SECRET = "Xq7canaryXq7canary"


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_no_more_than_so_many_lines_a_second_and_what_is_left_out_is_counted() -> None:
    now, stream = 0.0, io.StringIO()
    log = Log(50, stream, lambda: now)
    for _ in range(10_000):
        log("request", status=400)
    assert len(lines(stream)) == 50
    now = 1.0
    log("request", status=400)
    assert lines(stream)[-1]["left_out"] == 9950
    for second in range(2, 12):
        now = float(second)
        for _ in range(500):
            log("request", status=400)
    assert len(lines(stream)) <= 50 * 12


def test_a_flood_of_one_event_hides_no_other() -> None:
    stream = io.StringIO()
    log = Log(50, stream, lambda: 0.0)
    for _ in range(1000):
        log("request", status=404)
    log.failure("fault", RuntimeError("look here"))
    assert lines(stream)[-1]["error"] == "RuntimeError: look here"


def test_of_what_a_library_says_only_where_is_written() -> None:
    stream = io.StringIO()
    logger, overheard = logging.getLogger("some.library"), Overheard(Log(50, stream))
    logger.addHandler(overheard)
    try:
        logger.warning("a client sent %s", SECRET)
        logger.info("nothing of note")
    finally:
        logger.removeHandler(overheard)
    (line,) = lines(stream)
    assert (line["event"], line["name"]) == ("library", "some.library")
    assert line["where"].startswith("test_logs.py:")
    assert SECRET not in stream.getvalue()


def test_secrets_of_the_environment_are_in_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "SESSION_COOKIE"):
        monkeypatch.setenv(name, f"{SECRET}{name}")
    stream = io.StringIO()
    log = Log(1000, stream)
    for name in ("API_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "SESSION_COOKIE"):
        log("event", text=f"it was {SECRET}{name}, and so on")
        log.failure("fault", RuntimeError(f"{SECRET}{name}"))
    assert SECRET not in stream.getvalue()
    assert stream.getvalue().count("***") == 8


@given(st.integers(0, 310))
def test_a_secret_that_lies_where_a_text_is_cut_is_not_shown_by_half(before: int) -> None:
    stream = io.StringIO()
    log = Log(1000, stream)
    log._scrub = scrubber({"API_TOKEN": SECRET})
    log.failure("fault", RuntimeError("." * before + SECRET))
    assert SECRET[:6] not in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}", f"authorization: basic {SECRET}", f"https://user:{SECRET}@host/path",
        f"/path?api_key={SECRET}&x=1", f"?token={SECRET}", f'{{"password": "{SECRET}"}}', f"secret={SECRET}",
        f"X-Amz-Signature={SECRET} ", f"?X-Amz-Signature={SECRET}", f"tl_{SECRET}{SECRET}",
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_cleared(text: str) -> None:
    assert SECRET not in scrubber({})(text)


@given(st.text(max_size=200))
def test_every_line_is_json_whatever_is_written(text: str) -> None:
    stream = io.StringIO()
    Log(1000, stream)("event", text=text, number=1)
    (line,) = lines(stream)
    assert line["event"] == "event"
    assert line["number"] == 1
