"""What one process does: run one acceptance file and write its record."""

from __future__ import annotations

import importlib
import time
from pathlib import Path

from expunge.records import Record

RECORDS = Path(__file__).resolve().parents[1] / "records"


def execute(idea: str) -> tuple[Record, float]:
    """Run `part/idea` on one thread, write its record, and return it with the CPU seconds that it took."""
    import torch

    torch.set_num_threads(1)
    record: Record = importlib.import_module(f"acceptance.{idea.replace('/', '.')}").run()
    record.write(RECORDS)
    return record, time.process_time()
