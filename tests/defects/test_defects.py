"""Faults that were met in published code, sown here on purpose: each is caught by the check that is named for it."""

import copy
import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from expunge.card import Card
from expunge.errors import BuriedError
from expunge.learners import CausalLM, Learner
from expunge.methods.grad_diff import GradDiff
from expunge.methods.npo import NPO
from expunge.testing import ContractError, check_learner, check_method, tiny
from expunge.train import Method, Part, Step


def card(name):
    both = {"classifier", "causal_lm"}
    return Card(name=name, title=name, year=2026, source="a test", needs={"forget", "retain"}, learners=both)


def caught(check, run):
    """The check fails, and says so under its own name."""
    with pytest.raises(ContractError, match=f"^{check}: "):
        run()


# What is frozen must be -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Taught(Method):
    """Stay with a live teacher on the retain set, leave it on the forget set."""

    card: ClassVar[Card] = card("taught")

    def begin(self, run):
        run.teacher()

    def loss(self, run, batch):
        return {"forget": -self.distance(run, batch.forget), "retain": self.distance(run, batch.retain)}

    def distance(self, run, batch):
        with torch.no_grad():
            target_NV = run.teacher().log_probs(batch)
        return Part.mean((target_NV.exp() * (target_NV - run.learner.log_probs(batch))).sum(-1))


def test_a_teacher_that_shares_storage_with_the_student_is_caught(monkeypatch):
    check = "references_stay_as_they_were"
    check_method(Taught(), *tiny("classifier"), only=[check])

    def shallow(self):
        twin = copy.copy(self)
        twin.model = copy.copy(self.model).eval()
        return twin

    monkeypatch.setattr(Learner, "frozen_copy", shallow)
    caught(check, lambda: check_method(Taught(), *tiny("classifier"), only=[check]))


def test_a_frozen_head_that_is_the_live_one_is_caught(monkeypatch):
    check, method = "references_stay_as_they_were", GradDiff(retain_loss="kl")
    check_method(method, *tiny("causal_lm"), only=[check])
    monkeypatch.setattr(CausalLM, "frozen_head", lambda self: self.head)
    caught(check, lambda: check_method(method, *tiny("causal_lm"), only=[check]))


@dataclass(frozen=True, kw_only=True)
class StaleNPO(NPO):
    """Stores the reference once for good, by record, whatever the model is by then."""

    card: ClassVar[Card] = card("stale")
    kept: dict = field(default_factory=dict)

    def begin(self, run):
        key = tuple(run.ids("forget"))
        if key not in self.kept:
            super().begin(run)
            self.kept[key] = run.artefacts["reference"]
        run.artefacts.put("reference", self.kept[key])


@pytest.mark.parametrize("kind", ["classifier", "causal_lm"])
def test_a_stale_stored_reference_is_caught(kind):
    check = "earlier_runs_leave_no_trace"
    check_method(NPO(), *tiny(kind), only=[check])
    caught(check, lambda: check_method(StaleNPO(), *tiny(kind), only=[check]))


# What is scored ---------------------------------------------------------------------------------------------------


class PlaceTooFar(CausalLM):
    """Reads the logits at the token itself instead of at the one before it."""

    def collate(self, *args, **options):
        batch = super().collate(*args, **options)
        return replace(batch, places=(batch.places + 1).clamp_max(batch.inputs["input_ids"].numel() - 1))


class PromptScored(CausalLM):
    """Begins one token early: the last one of the prompt is scored, EOS is not."""

    def collate(self, *args, **options):
        batch = super().collate(*args, **options)
        return replace(batch, targets=batch.inputs["input_ids"].flatten()[batch.places], places=batch.places - 1)


class PadIsEnd(CausalLM):
    """Tells padding by its id, so that EOS is not scored where it pads too."""

    def collate(self, *args, **options):
        batch = super().collate(*args, **options)
        real = batch.targets != self._pad
        return replace(batch, targets=batch.targets[real], owner=batch.owner[real], places=batch.places[real])


@pytest.mark.parametrize(
    ("defect", "check"),
    [
        (PlaceTooFar, "likelihood_is_the_models_own"),
        (PromptScored, "only_answers_are_scored"),
        (PadIsEnd, "end_is_scored_when_it_pads_too"),
    ],
)
def test_scoring_other_positions_is_caught(defect, check):
    factory, request = tiny("causal_lm")

    def broken():
        learner = factory()
        learner.__class__ = defect
        return learner

    check_learner(factory, request.dataset, request.ids["forget"], only=[check])
    caught(check, lambda: check_learner(broken, request.dataset, request.ids["forget"], only=[check]))


# What may be read -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RetainAll(Method):
    """Trains on "all the data" to retain, the forgotten records among them."""

    card: ClassVar[Card] = card("retain_all")

    def batches(self, run):
        yield Step({"retain": run.request.dataset.ids[4:8]})

    def loss(self, run, batch):
        return {"retain": run.learner.nll(batch.retain)}


@dataclass(frozen=True, kw_only=True)
class RetainAllUnasked(Method):
    """The same, reading the records itself instead of asking the run for them."""

    card: ClassVar[Card] = card("retain_all_unasked")

    def solve(self, run):
        batch = run.learner.collate(run.request.dataset, run.request.dataset.ids[4:8], "retain")
        for name, gradient in run.learner.gradient(run.learner.nll(batch).total).items():
            run.learner.trainable()[name].data -= 0.01 * gradient


@dataclass(frozen=True, kw_only=True)
class Hoarding(Method):
    """Puts the forgotten records among the artefacts again when the run is over."""

    card: ClassVar[Card] = card("hoarding")

    def solve(self, run):
        purge = run.artefacts.purge

        def pretend(gone):
            found = purge(gone)
            run.artefacts.put("replay", torch.zeros(2), ids=run.request.ids["forget"][:2])
            return found

        run.artefacts.purge = pretend


@pytest.mark.parametrize("kind", ["classifier", "causal_lm"])
@pytest.mark.parametrize("method", [RetainAll(), RetainAllUnasked(), Hoarding()])
def test_reading_or_keeping_a_forgotten_record_is_caught(method, kind):
    check = "condemned_are_read_only_to_be_forgotten"
    check_method(GradDiff(), *tiny(kind), only=[check])
    caught(check, lambda: check_method(method, *tiny(kind), only=[check]))


def test_a_buried_record_cannot_be_sampled_in_a_later_event():
    factory, request = tiny("classifier")
    from expunge.testing import Case

    run = Case(method=GradDiff(), learner=factory, request=request).prepare()
    run.buried = {request.ids["retain"][0]}
    with pytest.raises(BuriedError, match="was forgotten and cannot be read again"):
        run.execute()


# How gradients add up ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class MeanNotTotal(GradDiff):
    """Hands the engine means, whatever the number of tokens in a micro-batch."""

    card: ClassVar[Card] = card("mean_not_total")

    def loss(self, run, batch):
        return {n: Part(p.total / p.weight, 1.0) for n, p in super().loss(run, batch).items()}


@dataclass(frozen=True, kw_only=True)
class Coupled(GradDiff):
    """Squares the batch's mean, which its card does not say."""

    card: ClassVar[Card] = card("coupled")

    def loss(self, run, batch):
        part = run.learner.nll(batch.forget)
        return {"forget": Part(-part.total.square() / part.weight, part.weight)}


@pytest.mark.parametrize("defect", [MeanNotTotal(), Coupled()])
def test_micro_batches_that_do_not_add_up_are_caught(defect):
    check = "micro_batches_equal_one_batch"
    check_method(GradDiff(), *tiny("causal_lm"), only=[check])
    caught(check, lambda: check_method(defect, *tiny("causal_lm"), only=[check]))


def test_gradients_by_part_that_are_not_reduced_over_ranks_are_caught(tmp_path, monkeypatch):
    script = Path(__file__).parents[1] / "train" / "ranks.py"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    names = ["gu on a classifier", "unreduced"]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, str(tmp_path), *names], capture_output=True, text=True, check=False, timeout=200, env=quiet
    )
    assert done.returncode == 0, done.stderr
    spec = importlib.util.spec_from_file_location("ranks_alone", script)
    ranks = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "ranks_alone", ranks)
    spec.loader.exec_module(ranks)
    honest, defect = (ranks.agree(torch.load(tmp_path / f"{n}.0.pt"), ranks.result(n)) for n in names)
    assert honest
    assert not defect


# How runs end ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Remembering(GradDiff):
    """Keeps what it needs in itself, where no checkpoint looks."""

    card: ClassVar[Card] = card("remembering")
    seen: list = field(default_factory=list)

    def begin(self, run):
        self.seen[:] = []

    def loss(self, run, batch):
        parts = super().loss(run, batch)
        self.seen.append(parts["retain"].total.detach())
        return {**parts, "retain": parts["retain"] * (1 + len(self.seen))}


def test_a_method_that_keeps_its_state_to_itself_does_not_resume():
    check = "resumes_to_the_same_weights"
    check_method(GradDiff(), *tiny("classifier"), only=[check])
    caught(check, lambda: check_method(Remembering(), *tiny("classifier"), only=[check]))


def test_a_run_that_changes_the_original_is_caught(monkeypatch):
    import expunge.testing._method as checks

    check = "inputs_stay_untouched"
    check_method(GradDiff(), *tiny("classifier"), only=[check])
    monkeypatch.setattr(checks, "copied", copy.copy)
    caught(check, lambda: check_method(GradDiff(), *tiny("classifier"), only=[check]))
