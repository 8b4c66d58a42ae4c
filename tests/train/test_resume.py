"""A run that was killed goes on where it stood, and ends bit for bit where an uninterrupted one does."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from interrupted import CUTS

from expunge.config import TrainConfig
from expunge.errors import EnvironmentError_, RunError
from expunge.registry import find
from expunge.testing import tiny
from expunge.train import Run, Watch, _checkpoint


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    script = Path(__file__).with_name("interrupted.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", CUTS)
def test_a_killed_run_ends_where_an_uninterrupted_one_does(killed, name):
    cut, folder = CUTS[name], killed / name
    left = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.pt"))
    if cut.path:
        assert left == ["stages/first/done.pt", "stages/second/checkpoint.pt"]
        finished = (folder / "stages/first/done.pt").stat().st_mtime_ns
    else:
        assert "checkpoint.pt" in left
        assert 0 < _checkpoint.read(folder / "checkpoint.pt")["cost"]["steps"] < cut.step + 1
    resumed, whole = cut.run(folder), cut.run(None)
    resumed.execute()
    whole.execute()
    first, second = resumed.learner.state(), whole.learner.state()
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key
    assert resumed.cost.steps == whole.cost.steps
    assert [e["step"] for e in resumed.log] == [e["step"] for e in whole.log]
    if cut.path:
        assert (folder / "stages/first/done.pt").stat().st_mtime_ns == finished


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    factory, request = tiny("classifier")
    with pytest.raises(RunError, match=r"checkpoint\.pt is damaged"):
        Run(factory(), request, find("methods", "finetune")(), folder=tmp_path).execute()


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    _checkpoint.write(path, {"step": 1})

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_checkpoint.os, "fsync", full)
    with pytest.raises(EnvironmentError_, match="No space left on device") as error:
        _checkpoint.write(path, {"step": 2})
    assert error.value.exit_code == 3
    assert _checkpoint.read(path) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_run_that_a_reading_stopped_stays_stopped(tmp_path):
    factory, request = tiny("classifier")
    train = TrainConfig(steps=9, batch_size=4, checkpoint_every=2)
    watch = Watch(every=2, read=lambda run: {"steps": run.cost.steps}, until=lambda figures: figures["steps"] == 4)
    first, again = (
        Run(factory(), request, find("methods", "finetune")(), train=train, folder=tmp_path, watch=watch) for _ in "ab"
    )
    first.execute()
    again.execute()
    assert again.cost.steps == first.cost.steps == 4
    assert again.learner.hash() == first.learner.hash()


def test_figures_of_numpy_survive_a_checkpoint(tmp_path):
    factory, request = tiny("classifier")
    train = TrainConfig(steps=2, batch_size=4, checkpoint_every=1)
    watch = Watch(every=1, read=lambda run: {"accuracy": np.float64(0.5)})
    finetune = find("methods", "finetune")()
    Run(factory(), request, finetune, train=train, folder=tmp_path, watch=watch).execute()
    assert _checkpoint.read(tmp_path / "checkpoint.pt")["log"][0] == {"step": 0, "watch": {"accuracy": 0.5}}
