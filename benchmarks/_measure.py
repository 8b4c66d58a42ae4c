"""How things are measured: interleaved pairs, medians with intervals, the bytes that tensors hold at their peak."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

RESAMPLES = 10_000


def machine() -> dict[str, Any]:
    """Return what the figures were measured on, and when."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").is_file() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return {"machine": {"cpu": model, "cores": os.cpu_count(), "system": platform.system()}, "created": created}


def versions() -> dict[str, str]:
    """Return the versions that shape the figures."""
    return {p: version(p) for p in ("expunge", "torch", "transformers")} | {"python": platform.python_version()}


def paired(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Return medians and the median ratio first / second, each with a 95 % interval by bootstrap of the pairs."""
    pairs = np.array([first, second], dtype=np.float64)
    drawn = pairs[:, np.random.default_rng(0).integers(0, pairs.shape[1], (RESAMPLES, pairs.shape[1]))]
    return {
        "pairs": pairs.shape[1],
        "first": _figure(np.median(pairs[0]), np.median(drawn[0], -1)),
        "second": _figure(np.median(pairs[1]), np.median(drawn[1], -1)),
        "ratio": _figure(np.median(pairs[0] / pairs[1]), np.median(drawn[0] / drawn[1], -1)),
    }


def peak_tensor_bytes(work: Callable[[], object]) -> int:
    """Return the most bytes that torch's CPU allocator had handed out at once inside `work`, temporaries included."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return int(np.cumsum([event.nbytes() for event in events]).max())


def in_fresh_process(*arguments: str) -> str:
    """Run `python arguments` and return what it printed."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _figure(value: float, drawn: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"median": _rounded(value), "low": _rounded(low), "high": _rounded(high)}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
