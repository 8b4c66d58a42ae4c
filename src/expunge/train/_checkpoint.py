"""A run's state on disk: written whole or not at all, read back without unpickling code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from expunge.errors import EnvironmentError_, RunError


def write(path: Path, state: dict[str, Any]) -> None:
    """Write plain values and tensors to `path`, replacing what was there only once all is on disk.

    Of several ranks the first writes and the others wait.

    Raises:
        EnvironmentError_: The disk is full or the place cannot be written.
    """
    staging = path.with_suffix(".partial")
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    if together and torch.distributed.get_rank():
        torch.distributed.barrier()
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with staging.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
    except (OSError, RuntimeError) as error:
        staging.unlink(missing_ok=True)
        raise EnvironmentError_(
            f"cannot write {path}: {getattr(error, 'strerror', None) or error}",
            hint="free some space; the last checkpoint is intact",
        ) from error
    if together:
        torch.distributed.barrier()


def read(path: Path) -> dict[str, Any] | None:
    """Return what `write` wrote, or None when there is nothing. Raises RunError when it is damaged."""
    if not path.is_file():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RunError(f"{path} is damaged: {error}", hint="delete it to start this stage anew") from error
