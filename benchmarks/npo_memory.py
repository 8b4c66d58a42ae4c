"""NPO needs one model in memory: its peak against GradDiff's, and the seconds of a step."""

from __future__ import annotations

import itertools
import json
import resource
import sys
import time
from typing import Any

import torch

from benchmarks._measure import in_fresh_process, paired, peak_tensor_bytes
from expunge.config import TrainConfig
from expunge.data import Dataset
from expunge.learners import CausalLM
from expunge.methods.grad_diff import GradDiff
from expunge.methods.npo import NPO
from expunge.models import llama
from expunge.modifiers.lora import LoRA
from expunge.request import Resolved
from expunge.train import Method, Run, copied

VOCABULARY, LAYERS, WIDTH, HEADS = 8192, 6, 384, 6
FORGET, RETAIN, BATCH = 128, 256, 8
QUESTION, ANSWER = 24, 24
STEPS, PAIRS, REPEATS = 3, 32, 5
DEMANDED = 1.15
METHODS: dict[str, Method] = {"npo": NPO(), "grad_diff": GradDiff()}


def run() -> dict[str, Any]:
    """Measure each method in processes of its own, taking turns."""
    started = time.process_time() + resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    bytes_ = {m: int(_child("tensors", m)["bytes"]) for m in ("npo", "grad_diff", "npo_begin")}
    adapter = {m: int(_child("adapter", m)["bytes"]) for m in METHODS}
    resident: dict[str, list[float]] = {m: [] for m in METHODS}
    for _ in range(REPEATS):
        for method, found in resident.items():
            found.append(_child("resident", method)["bytes"])
    process = paired(*resident.values())
    seconds = _child("seconds", "both")
    ratio, thin = (b["npo"] / b["grad_diff"] for b in (bytes_, adapter))
    spent = time.process_time() + resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - started
    return {
        "question": f"peak over `begin` and {STEPS} steps: NPO (first) over GradDiff (second), same model and batch",
        "demanded": f"peak of tensors and of the process ≤ {DEMANDED} x GradDiff's",
        "measured": f"tensors {ratio:.3f}, with adapters and batch 1 {thin:.3f}, process {process['ratio']['median']}",
        "passed": max(ratio, thin, process["ratio"]["high"]) <= DEMANDED,
        "model": {"kind": "llama, float32", "layers": LAYERS, "width": WIDTH, "vocabulary": VOCABULARY},
        "batch": {"forget": BATCH, "retain": BATCH, "tokens": QUESTION + ANSWER + 4, "forget records": FORGET},
        "tensor_peak_bytes": bytes_ | {"ratio": round(ratio, 4)},
        "tensor_peak_bytes, lora, batch 1 + 1": adapter | {"ratio": round(thin, 4)},
        "process_peak_bytes": process,
        "step_cpu_seconds": paired(seconds["npo"], seconds["grad_diff"]),
        "cpu_seconds": round(spent, 1),
    }


def task() -> tuple[CausalLM, Resolved]:
    """Return an untrained model and a request over made-up words; weights and texts from fixed seeds."""
    words = [f"w{number}" for number in range(VOCABULARY - len(llama.SPECIAL) - 5)]
    tokenizer = llama.tokenizer(["Question : Answer . ?", *words])
    torch.manual_seed(0)
    model = llama.build(vocabulary_size=VOCABULARY, layers=LAYERS, width=WIDTH, heads=HEADS)
    ids = [f"r{number}" for number in range(FORGET + RETAIN)]
    drawn = torch.randint(len(words), (len(ids), QUESTION + ANSWER)).tolist()
    texts = [[words[w] for w in row] for row in drawn]
    columns = {"question": [" ".join(t[:QUESTION]) for t in texts], "answer": [" ".join(t[QUESTION:]) for t in texts]}
    dataset = Dataset("words", ids, columns)
    return CausalLM(model, tokenizer), Resolved(dataset, {"forget": ids[:FORGET], "retain": ids[FORGET:]})


def steps_of(
    method: Method, learner: CausalLM, request: Resolved, steps: int, *, batch: int = BATCH, modifiers: Any = ()
) -> list[float]:
    """Run a method for some steps and return the CPU seconds of each but the first, which warms up."""
    ticks: list[float] = []
    train = TrainConfig(steps=steps, batch_size=batch, lr=1e-5)
    Run(learner, request, method, modifiers, train, progress=lambda _: ticks.append(time.process_time())).execute()
    return [after - before for before, after in itertools.pairwise(ticks)]


def measure(what: str, name: str) -> dict[str, Any]:
    """Measure one thing in this process."""
    torch.set_num_threads(1)
    if what == "seconds":
        learner, request = task()
        found: dict[str, list[float]] = {m: [] for m in METHODS}
        while len(found["npo"]) < PAIRS:
            for method, seconds in found.items():
                seconds += steps_of(METHODS[method], copied(learner), request, 1 + 4)  # type: ignore[arg-type]
        return found

    def work() -> None:
        learner, request = task()
        if name == "npo_begin":
            METHODS["npo"].begin(Run(learner, request, METHODS["npo"], train=TrainConfig(batch_size=BATCH)))
        elif what == "adapter":
            steps_of(METHODS[name], learner, request, STEPS, batch=1, modifiers=[LoRA()])
        else:
            steps_of(METHODS[name], learner, request, STEPS)

    if what in ("tensors", "adapter"):
        return {"bytes": peak_tensor_bytes(work)}
    work()
    return {"bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def _child(what: str, name: str) -> dict[str, Any]:
    return json.loads(in_fresh_process("-m", "benchmarks.npo_memory", what, name).splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
