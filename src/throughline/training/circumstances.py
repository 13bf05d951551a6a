"""Under what circumstances a run took place: the command, the code's branch, the machine, the process.

What is written down is read by others, so that no secret may be in it: the command's words are masked where they look
like one, nothing is taken from the environment, and of Git nothing but the name of the branch is read.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from throughline import hardware
from throughline.training.origin import code_version

PROCESS: Final = "process"
"""The tag that tells whether a run that has no end still goes on."""

_SECRET: Final = re.compile(
    r"(?:^|[\W_])(?:api[-_]?key|key|token|secret|passw(?:or)?d|pwd|credentials?|auth)(?:$|[\W_])", re.I
)
_LOOKS_SECRET: Final = re.compile(r"(?:sk|hf|ghp|gho|github_pat|glpat|xox[abp]|AKIA)[-_A-Za-z0-9]{12,}")
_USER_IN_URL: Final = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_MASK: Final = "***"


def circumstances(tags: Mapping[str, str]) -> dict[str, str]:
    """These tags, and what they do not say yet of the code, the command, the machine and the process."""
    found = {"command": shlex.join(masked([Path(sys.argv[0]).name, *sys.argv[1:]]))}
    found |= {} if "python" in tags else code_version()
    if branch := branch_of(Path.cwd()):
        found["branch"] = branch
    machine = hardware.detect()
    found["machine"] = platform.node()
    found["system"] = machine.system
    found["cpu"] = f"{machine.cpu.model}, {machine.cpu.cores} cores"
    found["memory"] = f"{machine.memory_mb} MB"
    found |= {"gpu": ", ".join(gpu.name for gpu in machine.gpus)} if machine.gpus else {}
    return found | {name: str(value) for name, value in tags.items()} | {PROCESS: this_process()}


def masked(words: Sequence[str]) -> list[str]:
    """A command's words without what looks like a secret: a value by its option's name, or by its own form."""
    shown: list[str] = []
    hide_next = False
    for word in words:
        name, sign, value = word.rpartition("=")
        if hide_next:
            shown.append(_MASK)
        elif sign and value and _SECRET.search(name):
            shown.append(f"{name}={_MASK}")
        else:
            shown.append(_LOOKS_SECRET.sub(_MASK, without_user(word)))
        hide_next = not sign and word.startswith("-") and _SECRET.search(word) is not None
    return shown


def without_user(text: str) -> str:
    """Text in which no address tells who logs in there, and with which password."""
    return _USER_IN_URL.sub(_MASK, text)


def branch_of(folder: Path) -> str:
    """The branch that a folder's Git is on; "" where it is on none, or in no repository."""
    with suppress(OSError, UnicodeDecodeError):
        for place in (folder, *folder.parents):
            git = place / ".git"
            if git.is_file():  # a work tree of its own
                git = place / git.read_text("utf-8").removeprefix("gitdir:").strip()
            if (git / "HEAD").is_file():
                head = (git / "HEAD").read_text("utf-8").strip()
                return head.removeprefix("ref: refs/heads/") if head.startswith("ref: refs/heads/") else ""
    return ""


def this_process() -> str:
    """This process, such that nobody takes another for it: its number, when it began, and where such numbers count."""
    return " ".join([str(os.getpid()), _began(os.getpid()) or "?", *_place()])


def goes_on(process: str) -> bool | None:
    """Whether the process of such a tag is still there; None where that cannot be seen from here."""
    try:
        pid, began, boot, space, machine = process.split(" ")
        number = int(pid)
    except ValueError:
        return None
    here = _place()
    if (boot, space) == (here[0], here[1]):
        return _began(number) == began
    return False if machine == here[2] != "?" and boot != here[0] else None  # the machine was started again since


def _began(pid: int) -> str | None:
    """When a process began, in the kernel's ticks; None where there is none, or only what is left of one."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] in ("Z", "X") else after_name[19]


def _place() -> tuple[str, str, str]:
    """The start of this machine, the space of its process numbers, and the machine, each as a short word."""
    sources = ("/proc/sys/kernel/random/boot_id", "", "/etc/machine-id")
    words = []
    for source in sources:
        text = ""
        with suppress(OSError):
            text = Path(source).read_text("utf-8") if source else os.readlink("/proc/self/ns/pid")
        words.append(hashlib.sha256(text.strip().encode()).hexdigest()[:12] if text.strip() else "?")
    return words[0], words[1], words[2]
