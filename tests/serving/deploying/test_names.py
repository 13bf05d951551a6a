"""Names are the same word to everything that reads them, or are refused."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from small_models import HOSTILE

from throughline.contracts.errors import InputError
from throughline.serving.deploying._names import checked_image, checked_name, name_from

TEXT = st.text() | st.sampled_from(HOSTILE) | st.builds("".join, st.lists(st.sampled_from(HOSTILE), max_size=3))


@given(TEXT)
def test_any_text_becomes_a_name_that_is_one(text: str) -> None:
    name = name_from(text)
    assert checked_name(name) == name == name_from(name)
    assert shlex.quote(name) == name
    assert re.fullmatch("[a-z]([a-z0-9-]*[a-z0-9])?", name)
    assert len(name) <= 52


@given(TEXT)
def test_a_name_that_was_given_is_taken_as_it_is_or_refused(text: str) -> None:
    try:
        assert checked_name(text) == text
    except InputError as error:
        checked_name(error.fix.removeprefix("--name "))  # what it advises is allowed
    else:
        assert shlex.quote(text) == text
        assert not {*text} - {*"abcdefghijklmnopqrstuvwxyz0123456789-"}


@given(TEXT | st.from_regex(r"[a-z0-9./:@_-]{1,40}", fullmatch=True))
def test_an_image_that_was_given_is_taken_as_it_is_or_refused(text: str) -> None:
    try:
        assert checked_image(text) == text
    except InputError:
        return
    assert shlex.quote(text) == text
    assert not text.startswith("-")


@pytest.mark.parametrize(
    "image",
    [
        "detector",
        "detector:1",
        "registry.example.com/models/detector:2.0-rc1",
        "localhost:5000/a/b_c:latest",
        "ghcr.io/someone/model@sha256:" + "0" * 64,
    ],
)
def test_names_of_images_that_registries_take_are_taken(image: str) -> None:
    assert checked_image(image) == image


@pytest.mark.parametrize("image", ["", "Detector", "a//b", "a:b:c", "-a", "a b", "a\n", "a/", "a:$TAG", "x" * 300])
def test_what_is_no_name_of_an_image_is_refused(image: str) -> None:
    with pytest.raises(InputError, match="not the name of an image"):
        checked_image(image)


@pytest.mark.parametrize(("text", "name"), [("Straße 7", "strae-7"), ("9.best", "model-9-best"), ("摄像头", "model")])
def test_a_name_reads_like_the_text_it_comes_from(text: str, name: str) -> None:
    assert name_from(text) == name
    assert yaml.safe_load(name) == name
