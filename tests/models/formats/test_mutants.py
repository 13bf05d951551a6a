"""Whatever is done to a file, its readers answer in time, in little memory, and with an error of ours or none."""

from __future__ import annotations

import random
import time
from pathlib import Path

import hostile_checkpoints
import hostile_graphs
import hostile_pickles
import pytest

from throughline.contracts.errors import ThroughlineError
from throughline.models.identify import identify
from throughline.models.loading import check

MUTANTS = 120
SLOWEST_SECONDS = 5.0


def _seeds(folder: Path) -> dict[str, bytes]:
    weights = hostile_graphs.numpy_helper.from_array(hostile_graphs.np.ones((4, 4), "float32"), "w")
    nodes = [hostile_graphs.helper.make_node("MatMul", ["x", "w"], ["y"])]
    header = b'{"__metadata__":{"names":"[\\"a\\"]"},"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}'
    return {
        "m.onnx": hostile_graphs.saved(folder, hostile_graphs.model(nodes, [weights])).read_bytes(),
        "m.pt": hostile_checkpoints.honest(folder).read_bytes(),
        "m.pkl": hostile_pickles.by_stack_global(folder / "canary"),
        "m.pth": hostile_pickles.legacy_checkpoint(folder / "canary"),
        "m.safetensors": len(header).to_bytes(8, "little") + header + bytes(16),
        "m.xml": hostile_graphs.ir(folder).read_bytes(),
        "m.tar": hostile_checkpoints.tar_checkpoint(folder, folder / "canary").read_bytes(),
    }


def mutant(data: bytes, random_numbers: random.Random) -> bytes:
    """Cut, overwritten, repeated, or with numbers blown up."""
    changed = bytearray(data)
    for _ in range(random_numbers.randint(1, 6)):
        at = random_numbers.randrange(len(changed) or 1)
        match random_numbers.randrange(6):
            case 0:
                del changed[at:]
            case 1:
                changed[at : at + 1] = bytes([random_numbers.randrange(256)])
            case 2:
                changed[at : at + 4] = b"\xff\xff\xff\x7f"
            case 3:
                changed[at:at] = changed[at : at + random_numbers.randrange(64)] * random_numbers.randrange(1, 8)
            case 4:
                changed[at : at + 1] = bytes([changed[at] ^ 1 << random_numbers.randrange(8)]) if changed else b""
            case _:
                del changed[at : at + random_numbers.randrange(16)]
    return bytes(changed)


@pytest.mark.parametrize("name", ["m.onnx", "m.pt", "m.pkl", "m.pth", "m.safetensors", "m.xml", "m.tar"])
def test_only_our_errors_escape_and_soon(name: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    data = _seeds(source)[name]
    path = tmp_path / name
    (tmp_path / "m.bin").write_bytes(bytes(16))
    answers = set()
    for seed in range(MUTANTS):
        path.write_bytes(mutant(data, random.Random(f"{name}{seed}")))
        start = time.process_time()
        try:
            identify(path)
            # With a passport said to hold, so that no child is started for each of them.
            check(path, passport_holds=True)
            answers.add("accepted")
        except ThroughlineError as error:
            answers.add(type(error).__name__ if str(path) in error.problem else f"does not name the file: {error}")
        assert time.process_time() - start < SLOWEST_SECONDS
    assert "InputError" in answers
    assert answers <= {"accepted", "InputError", "ModelRefused"}
    assert not (source / "canary").exists()
