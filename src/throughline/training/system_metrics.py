"""What a machine does while a run goes on, under the names that MLflow shows among its system metrics."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, final


@final
class SystemMetrics:
    """Samples of this machine; one costs less than a millisecond without a GPU."""

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        self._process = psutil.Process()
        psutil.cpu_percent()  # it counts from one call to the next
        self._nvml, self._gpus = _gpus()

    def sample(self) -> dict[str, float]:
        """The machine now, and its processors since the sample before."""
        memory = self._psutil.virtual_memory()
        found = {
            "cpu_utilization_percentage": float(self._psutil.cpu_percent()),
            "system_memory_usage_megabytes": round(memory.used / 1e6, 1),
            "system_memory_usage_percentage": float(memory.percent),
            "process_memory_usage_megabytes": round(self._process.memory_info().rss / 1e6, 1),
        }
        for index, gpu in enumerate(self._gpus):
            with suppress(self._nvml.NVMLError):
                used = self._nvml.nvmlDeviceGetMemoryInfo(gpu)
                found[f"gpu_{index}_memory_usage_megabytes"] = round(used.used / 1e6, 1)
                found[f"gpu_{index}_memory_usage_percentage"] = round(100 * used.used / used.total, 1)
                found[f"gpu_{index}_utilization_percentage"] = float(self._nvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
                found[f"gpu_{index}_power_usage_watts"] = self._nvml.nvmlDeviceGetPowerUsage(gpu) / 1000
        return {f"system/{name}": value for name, value in found.items()}


def _gpus() -> tuple[Any, list[Any]]:
    """NVIDIA's own library and its GPUs; none where it or they are not here."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return pynvml, [pynvml.nvmlDeviceGetHandleByIndex(at) for at in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # not installed, or no driver: each version says so in another way
        return None, []
