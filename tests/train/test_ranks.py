"""Two ranks reach the gradients and weights of one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ranks import CASES, agree, result

HONEST = [name for name in CASES if name != "unreduced"]


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    script = Path(__file__).with_name("ranks.py")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, str(folder), *HONEST], capture_output=True, text=True, check=False, timeout=200, env=quiet
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", HONEST)
def test_two_ranks_equal_one(two_ranks, name):
    alone = result(name)
    assert alone["ranks"] == 1
    first, second = (torch.load(two_ranks / f"{name}.{rank}.pt") for rank in (0, 1))
    assert first["ranks"] == second["ranks"] == 2
    for found in (first, second):
        assert agree(found, alone)
        assert len(found["losses"]) == len(alone["losses"])
        for theirs, ours in zip(found["losses"], alone["losses"], strict=True):
            assert theirs == pytest.approx(ours, abs=1e-5)
    for key in alone["state"]:
        assert torch.equal(first["state"][key], second["state"][key]), "ranks drift apart"


def test_gradients_by_part_were_compared(two_ranks):
    found = torch.load(two_ranks / "gu on a classifier.1.pt")["parts"]
    assert len(found) == 4
    assert found[0].keys() == {"forget", "retain"}
