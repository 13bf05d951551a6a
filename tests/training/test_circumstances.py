"""What is written down of where a run took place: enough to do it again, and no secret."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from throughline.training.circumstances import PROCESS, branch_of, circumstances, goes_on, masked, this_process
from throughline.training.system_metrics import SystemMetrics


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["train", "--token", "abc", "--lr", "1"], ["train", "--token", "***", "--lr", "1"]),
        (["--api-key=abc", "--set", "wandb_api_key=abc"], ["--api-key=***", "--set", "wandb_api_key=***"]),
        (["--password", "p w"], ["--password", "***"]),
        (["--data", "s3://me:pass@host/data?a=b"], ["--data", "s3://***@host/data?a=b"]),
        (["hf_AbCdEfGhIjKlMnOp", "sk-proj-AbCdEfGhIjKlMn"], ["***", "***"]),
        (["a.yaml", "--set", "keypoints=17", "--monkey", "5"], ["a.yaml", "--set", "keypoints=17", "--monkey", "5"]),
    ],
)  # fmt: skip
def test_a_command_is_shown_without_its_secrets(words: list[str], shown: list[str]) -> None:
    assert masked(words) == shown


def test_nothing_of_the_environment_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "xyzzy-plugh")
    monkeypatch.setattr(sys, "argv", ["/usr/bin/throughline", "train", "a b.yaml", "--token=xyzzy-plugh"])
    told = circumstances({"seed": "1", "python": "told before"})
    assert not any("xyzzy" in value for value in told.values())
    assert told["command"] == "throughline train 'a b.yaml' '--token=***'"
    assert (told["seed"], told["python"]) == ("1", "told before")
    assert {"machine", "cpu", "memory", "system", PROCESS} <= set(told)


def test_the_branch_is_read_of_a_clone_and_of_a_work_tree(tmp_path: Path) -> None:
    assert branch_of(tmp_path) == ""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q", "-b", "new/idea"], check=True)
    (tmp_path / "deep").mkdir()
    assert branch_of(tmp_path / "deep") == "new/idea"
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    subprocess.run([*git, "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree")], check=True)
    assert branch_of(tmp_path / "tree") == "other"
    subprocess.run([*git, "checkout", "-q", "--detach"], check=True)
    assert branch_of(tmp_path) == ""


def test_a_process_is_known_by_more_than_its_number() -> None:
    here = this_process()
    pid, began, *place = here.split(" ")
    assert goes_on(here) is True
    assert goes_on(" ".join([pid, str(int(began) + 1), *place])) is False
    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # what is left of it still has its number
    assert goes_on(" ".join([str(ended.pid), "1", *place])) is False
    ended.wait()


def test_what_cannot_be_seen_from_here_is_not_guessed() -> None:
    pid, began, boot, space, machine = this_process().split(" ")
    assert goes_on(" ".join([pid, began, boot, "another-space", machine])) is None
    assert goes_on(" ".join([pid, began, "another-boot", space, "another-machine"])) is None
    if machine != "?":
        assert goes_on(" ".join([pid, began, "another-boot", space, machine])) is False
    for nonsense in ("", "1", "a b c d e"):
        assert goes_on(nonsense) is None


def test_the_machine_is_measured_under_mlflows_names() -> None:
    found = SystemMetrics().sample()
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_percentage"} <= set(found)
    assert all(isinstance(value, float) and value >= 0 for value in found.values())
    assert found["system/process_memory_usage_megabytes"] > 1
