"""Read a pickle without running it: what it would import, what it would call, and the plain data in it.

A pickle is a program for a small stack machine. This file walks that program
with a machine whose every call is inert: a global becomes a ``Global``, a call
becomes a ``Call`` that remembers its arguments, and nothing is ever looked up.
What comes out names the offender in a refusal and tells a state dict from a
whole model. It is not the boundary: that is the allow-list in the throwaway
child, which holds even where this reading is fooled.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

MAX_STEPS = 2_000_000
_MAX_PICKLES = 64
_MAX_NESTING = 3
_MAX_GLOBALS = 10_000
_MAX_NAME = 300
_words = str.split
_OPCODES = {ord(opcode.code): opcode for opcode in pickletools.opcodes}


@dataclass(frozen=True, slots=True)
class Global:
    """A Python name that the pickle would import."""

    module: str
    name: str

    def __str__(self) -> str:
        # The name goes to a terminal; what the file put into it must not act there.
        return "".join(char if char.isprintable() else "?" for char in f"{self.module}.{self.name}"[:_MAX_NAME])


@dataclass(eq=False, slots=True)
class Call:
    """An object that the pickle would make by calling something, with what it would put into it."""

    function: Any
    arguments: Any
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    members: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """A reference to bytes kept outside the pickle."""

    key: Any


@dataclass(slots=True)
class Reading:
    """What a file's pickles say.

    Attributes:
        roots: what each pickle would give.
        globals: everything that any of them would import, in order, once each.
        end: where in the bytes the last complete pickle ended.
        broken: why reading stopped before the end of a pickle; None where it did not.
        nested: how many pickles were found inside strings of others.
    """

    roots: list[Any] = field(default_factory=list)
    globals: list[Global] = field(default_factory=list)
    end: int = 0
    steps: int = 0
    broken: str | None = None
    nested: int = 0

    @property
    def root(self) -> Any:
        """What the last pickle would give; None where none is complete."""
        return self.roots[-1] if self.roots else None

    def names(self) -> tuple[str, ...]:
        """The globals as dotted names, sorted."""
        return tuple(sorted({str(found) for found in self.globals}))


COMPUTED = Global("<computed while loading>", "?")
"""Stands for a global whose name is itself the outcome of a call, so that no reader can know it."""


def read_pickles(data: bytes, *, count: int = _MAX_PICKLES, before: Reading | None = None) -> Reading:
    """Walk up to ``count`` pickles that follow each other, and those inside their strings.

    ``before`` is the reading of another part of the same file: it shares the bound on steps, and is added to.
    """
    reading = before or Reading()
    seen = set(reading.globals)
    _walk(data, count, reading, seen, nesting=0)
    return reading


def _walk(data: bytes, count: int, reading: Reading, seen: set[Global], nesting: int) -> None:
    stream = BytesIO(data)
    memo: dict[int, Any] = {}
    for _ in range(count):
        start = stream.tell()
        if start >= len(data) or data[start] not in _OPCODES:
            return
        before = len(reading.globals)
        try:
            root = _Machine(stream, reading, seen, memo, nesting).run()
        except _Broken as broken:
            # What follows a complete pickle may be anything; a stray byte there is not a broken pickle.
            if nesting == 0 and (start == 0 or len(reading.globals) > before):
                reading.broken = str(broken)
            return
        if nesting == 0:
            reading.roots.append(root)
            reading.end = stream.tell()


class _Broken(Exception):
    pass


class _Mark:
    pass


_MARK = _Mark()
_UNKNOWN = Storage(None)


class _Machine:
    """The stack machine of one pickle; strict where CPython is strict, inert where it would act."""

    def __init__(
        self, stream: BytesIO, reading: Reading, seen: set[Global], memo: dict[int, Any], nesting: int
    ) -> None:
        self.stream = stream
        self.reading = reading
        self.seen = seen
        self.memo = memo
        self.nesting = nesting
        self.stack: list[Any] = []

    def run(self) -> Any:
        """Walk to STOP and give what is on top of the stack."""
        for name, argument in self._operations():
            if name == "STOP":
                return self._pop()
            try:
                self._step(name, argument)
            except (IndexError, KeyError, TypeError) as error:
                raise _Broken(f"{name} has nothing to work on") from error
        raise _Broken("it ends before its STOP")

    def _operations(self) -> Iterator[tuple[str, Any]]:
        while True:
            code = self.stream.read(1)
            if not code:
                return
            self.reading.steps += 1
            if self.reading.steps > MAX_STEPS:
                raise _Broken(f"it has more than {MAX_STEPS:,} steps")
            opcode = _OPCODES.get(code[0])
            if opcode is None:
                raise _Broken(f"byte {self.stream.tell() - 1} is no pickle instruction (0x{code.hex()})")
            argument = None
            if opcode.name in ("GLOBAL", "INST"):
                # CPython takes these names as raw bytes up to the newline; pickletools would stop at a non-ASCII one.
                argument = (self._line(), self._line())
            elif opcode.arg is not None:
                try:
                    argument = opcode.arg.reader(self.stream)
                except (ValueError, UnicodeError, OverflowError, MemoryError, IndexError) as error:
                    raise _Broken(f"{opcode.name} is malformed: {str(error)[:80]}") from None
            yield opcode.name, argument

    def _line(self) -> str:
        # Some readers take a last line without its newline and drop a character instead; so does this one.
        return self.stream.readline()[:-1].decode("utf-8", "replace")

    def _pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise _Broken("the stack is empty")
        return self.stack.pop()

    def _top(self) -> Any:
        if not self.stack:
            raise _Broken("the stack is empty")
        return self.stack[-1]

    def _since_mark(self) -> list[Any]:
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                found = self.stack[index + 1 :]
                del self.stack[index:]
                return found
        raise _Broken("there is no MARK")

    def _found(self, module: Any, name: Any) -> Global:
        found = Global(module, name) if isinstance(module, str) and isinstance(name, str) else COMPUTED
        if found not in self.seen:
            if len(self.seen) >= _MAX_GLOBALS:
                raise _Broken(f"it imports more than {_MAX_GLOBALS:,} names")
            self.seen.add(found)
            self.reading.globals.append(found)
        return found

    def _constant(self, value: Any) -> None:
        self.stack.append(value)
        if isinstance(value, str | bytes) and len(value) > 4 and self.nesting < _MAX_NESTING:
            data = value if isinstance(value, bytes) else value.encode("latin-1", "replace")
            if data.rstrip(b"\n\r\t ")[-1:] == b"." and (data[0] == 0x80 or (data[0] in b"c(" and b"\n" in data)):
                self.reading.nested += 1
                _walk(data, _MAX_PICKLES, self.reading, self.seen, self.nesting + 1)

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _CONSTANTS:
            self._constant(argument)
        elif name in _LITERALS:
            stack.append(_LITERALS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[int(argument)] = self._top()
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self._top()
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            if int(argument) not in self.memo:
                raise _Broken(f"it asks for memo {argument}, which was never put")
            stack.append(self.memo[int(argument)])
        elif name == "GLOBAL":
            stack.append(self._found(*argument))
        elif name == "STACK_GLOBAL":
            attribute, module = self._pop(), self._pop()
            stack.append(self._found(module, attribute))
        elif name == "INST":
            function = self._found(*argument)
            stack.append(Call(function, tuple(self._since_mark())))
        elif name == "OBJ":
            first, *rest = self._since_mark() or [_UNKNOWN]
            stack.append(Call(first, tuple(rest)))
        elif name in ("EXT1", "EXT2", "EXT4"):
            stack.append(self._found("copyreg", f"extension {argument}"))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = self._pop(), self._pop()
            stack.append(Call(function, arguments))
        elif name == "NEWOBJ_EX":
            keywords, arguments, function = self._pop(), self._pop(), self._pop()
            stack.append(Call(function, (arguments, keywords)))
        elif name == "BUILD":
            state, target = self._pop(), self._top()
            if isinstance(target, Call):
                target.state = state
            elif isinstance(target, Global):
                # State put into a module or class changes what a later name means.
                self._found(None, None)
        elif name in ("PERSID", "BINPERSID"):
            stack.append(Storage(argument if name == "PERSID" else self._pop()))
        elif name in _CONTAINERS:
            self._contain(name)
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            self._since_mark()
        elif name == "DUP":
            stack.append(self._top())
        elif name == "NEXT_BUFFER":
            stack.append(_UNKNOWN)
        elif name not in ("PROTO", "FRAME", "READONLY_BUFFER"):
            raise _Broken(f"{name} is not known")

    def _contain(self, name: str) -> None:
        stack = self.stack
        if name.startswith("TUPLE"):
            count = int(name[5:] or -1)
            if count > 0:
                if len(stack) < count or any(item is _MARK for item in stack[-count:]):
                    raise _Broken("the stack is too short")
                stack[-count:] = [tuple(stack[-count:])]
            else:
                stack.append(tuple(self._since_mark()))
        elif name in ("LIST", "FROZENSET"):
            stack.append(self._since_mark())
        elif name == "DICT":
            stack.append(_pairs({}, self._since_mark()))
        elif name in ("APPEND", "APPENDS", "ADDITEMS"):
            items = [self._pop()] if name == "APPEND" else self._since_mark()
            target = self._top()
            if isinstance(target, Call):
                target.members.extend(items)
            elif isinstance(target, list):
                target.extend(items)
        else:
            pairs = [self._pop(), self._pop()][::-1] if name == "SETITEM" else self._since_mark()
            target = self._top()
            if isinstance(target, Call):
                _pairs(target.items, pairs)
            elif isinstance(target, dict):
                _pairs(target, pairs)


def _pairs(target: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    for key, value in zip(items[::2], items[1::2], strict=False):
        # Only keys whose hash is cheap: that of a deep tuple would overflow the C stack.
        target[key if isinstance(key, str | int | bytes | float | bool | None) else id(key)] = value
    return target


_CONSTANTS = frozenset(
    _words(
        "INT BININT BININT1 BININT2 LONG LONG1 LONG4 STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES "
        "BINBYTES8 BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 FLOAT BINFLOAT"
    )
)
_LITERALS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": list}
_CONTAINERS = frozenset(
    _words("TUPLE TUPLE1 TUPLE2 TUPLE3 LIST DICT FROZENSET APPEND APPENDS ADDITEMS SETITEM SETITEMS")
)
