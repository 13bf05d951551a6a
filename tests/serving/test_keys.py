"""Keys: only hashes on the disk, compared in constant time, and each role may do what it may."""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from throughline.contracts.errors import InputError
from throughline.serving import keys
from throughline.serving.keys import Door, new_key, read_keys
from throughline.serving.refusals import Refused


def test_only_a_hash_lies_on_the_disk_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    tokens = [new_key(path, "camera", "infer"), new_key(path, "operator", "admin")]
    written = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    for token in tokens:
        assert len(token) > 40
        assert token not in written
        assert token.removeprefix("tl_") not in written
    assert [(one.name, one.role) for one in read_keys(path)] == [("camera", "infer"), ("operator", "admin")]


def test_a_name_is_given_once_and_a_role_is_one_that_there_is(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    new_key(path, "camera", "infer")
    before = path.read_bytes()
    with pytest.raises(InputError, match="camera"):
        new_key(path, "camera", "admin")
    for role in ("open", "root", ""):
        with pytest.raises(InputError, match="role"):
            new_key(path, "other", role)
    assert path.read_bytes() == before


GOOD = {"name": "a", "role": "infer", "sha256": "0" * 64}


@pytest.mark.parametrize(
    "written",
    [
        "", "{", "[]", "{}", "null", '{"keys": 3}', '{"keys": [3]}', '{"keys": [{}]}', "\xff",
        *(json.dumps({"keys": [GOOD | change]}) for change in
          ({"role": "root"}, {"role": "open"}, {"sha256": "0" * 63}, {"sha256": "é" * 64}, {"sha256": "Z" * 64})),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_keys_is_refused_whole(tmp_path: Path, written: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(written, "latin-1")
    with pytest.raises(InputError, match=r"keys\.json"):
        read_keys(path)


@pytest.mark.parametrize("anonymous", [True, False])
@pytest.mark.parametrize("role", ["open", "infer", "admin"])
@pytest.mark.parametrize("who", ["nobody", "stranger", "infer", "admin"])
def test_who_may_do_what(tmp_path: Path, who: str, role: str, anonymous: bool) -> None:
    path = tmp_path / "keys.json"
    tokens = {one: new_key(path, one, one) for one in ("infer", "admin")}
    door = Door(read_keys(path), anonymous)
    given = {"nobody": None, "stranger": "Bearer tl_of_somebody_else"}.get(who, f"Bearer {tokens.get(who)}")
    expected: Any = who if who in tokens else ""
    if role != "open":
        if who == "stranger" or (who == "nobody" and not (role == "infer" and anonymous)):
            expected = 401
        elif role == "admin" and who == "infer":
            expected = 403
    try:
        seen: Any = door.check(role, given)
    except Refused as error:
        seen = error.status
    assert seen == ("" if role == "open" else expected)


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", "Basic TOKEN", "TOKEN", "Bearer  TOKEN x", "Bearer \xff"])
def test_a_key_in_another_wrapping_is_none(tmp_path: Path, given: str) -> None:
    path = tmp_path / "keys.json"
    token = new_key(path, "a", "infer")
    with pytest.raises(Refused) as refused:
        Door(read_keys(path), anonymous=False).check("infer", given.replace("TOKEN", token))
    assert refused.value.status == 401
    assert token not in str(refused.value)


def test_every_key_is_compared_in_constant_time_whichever_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.json"
    tokens = [new_key(path, f"key {at}", "infer") for at in range(5)]
    door, compared = Door(read_keys(path)), list[tuple[str, str]]()

    def counted(one: str, other: str) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(keys, "hmac", type("Counting", (), {"compare_digest": staticmethod(counted)}))
    for token in (tokens[0], tokens[4]):
        compared.clear()
        assert door.check("infer", f"Bearer {token}")
        assert len(compared) == len(tokens)
    assert all(len(one) == len(other) == 64 for one, other in compared)


def test_no_route_may_ask_for_a_role_that_there_is_not() -> None:
    with pytest.raises(AssertionError):
        Door().check("anybody", None)
