"""The little of the CUDA driver that a TensorRT engine needs: a context, a stream, and memory.

The driver's own library comes with the GPU's driver, so this needs no package at all.
It uses the device's primary context, which is the one that TensorRT and torch use.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import Unavailable
from throughline.models.backends import OutOfMemory

_OUT_OF_MEMORY = 2


@final
class Device:
    """One GPU. Its other methods are called within ``current``."""

    def __init__(self, index: int) -> None:
        try:
            self._driver: Any = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise Unavailable(
                f"the NVIDIA driver's library does not load: {error}", "install the NVIDIA driver"
            ) from None
        self._do("cuInit", 0)
        self._device = ctypes.c_int()
        self._do("cuDeviceGet", ctypes.byref(self._device), index)
        self._context = ctypes.c_void_p()
        self._do("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make it this thread's device; the one that was is put back."""
        self._do("cuCtxPushCurrent_v2", self._context)
        try:
            yield
        finally:
            self._do("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def stream(self) -> int:
        """A new stream, apart from the default one."""
        stream = ctypes.c_void_p()
        self._do("cuStreamCreate", ctypes.byref(stream), 1)
        return stream.value or 0

    def end_stream(self, stream: int) -> None:
        """Destroy a stream."""
        self._do("cuStreamDestroy_v2", ctypes.c_void_p(stream))

    def synchronize(self, stream: int) -> None:
        """Wait until everything on a stream is done."""
        self._do("cuStreamSynchronize", ctypes.c_void_p(stream))

    def allocate(self, size: int) -> int:
        """This many bytes of the GPU's memory."""
        pointer = ctypes.c_uint64()
        self._do("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(max(size, 1)))
        return pointer.value

    def free(self, pointer: int) -> None:
        """Give memory back."""
        self._do("cuMemFree_v2", ctypes.c_uint64(pointer))

    def upload(self, pointer: int, array: Array, stream: int) -> None:
        """Copy a contiguous array to the GPU; keep it until ``synchronize``."""
        source = ctypes.c_void_p(array.ctypes.data)
        size = ctypes.c_size_t(array.nbytes)
        self._do("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(pointer), source, size, ctypes.c_void_p(stream))

    def download(self, array: Array, pointer: int, stream: int) -> None:
        """Copy from the GPU into a contiguous array; it is filled after ``synchronize``."""
        target = ctypes.c_void_p(array.ctypes.data)
        size = ctypes.c_size_t(array.nbytes)
        self._do("cuMemcpyDtoHAsync_v2", target, ctypes.c_uint64(pointer), size, ctypes.c_void_p(stream))

    def release(self) -> None:
        """Let go of the device."""
        self._do("cuDevicePrimaryCtxRelease_v2", self._device)

    def _do(self, function: str, *arguments: Any) -> None:
        code = getattr(self._driver, function)(*arguments)
        if code == _OUT_OF_MEMORY:
            raise OutOfMemory(f"{function}: the GPU's memory is full")
        if code != 0:
            text = ctypes.c_char_p()
            self._driver.cuGetErrorString(code, ctypes.byref(text))
            reason = (text.value or b"unknown error").decode()
            raise Unavailable(f"the NVIDIA driver failed: {function}: {reason} ({code})", "see `nvidia-smi`")
