"""Forgetting covers what was derived, and forgotten records are not read again."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from expunge.card import Card
from expunge.config import TrainConfig
from expunge.data import Dataset
from expunge.errors import BuriedError, RunError
from expunge.learners import CausalLM
from expunge.registry import find
from expunge.request import Resolved
from expunge.testing import tiny
from expunge.train import Artefacts, Method, Run, Stored

TRAIN = TrainConfig(steps=2, batch_size=4)


def stored(ids, lengths, role="retain"):
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    return Stored(role, list(ids), torch.arange(float(offsets[-1])), offsets)


def test_stored_rows_are_gathered_in_the_order_asked():
    rows = stored("abc", [2, 1, 3])
    assert rows.gather(["c", "a"]).tolist() == [3, 4, 5, 0, 1]
    assert stored("abc", [1, 1, 1]).gather(["b", "a"]).tolist() == [1, 0]
    assert rows.without({"a"}).gather(["b", "c"]).tolist() == [2, 3, 4, 5]
    assert rows.without({"a", "b", "c"}).ids == []


def test_purging_cuts_rows_and_drops_what_cannot_be_cut():
    kept = Artefacts()
    kept.put("rows", stored("abc", [2, 1, 3]))
    kept.put("replay", torch.zeros(3), ids=["a", "b"])
    kept.put("count", 3)
    with pytest.raises(BuriedError, match="artefact 'rows' still holds 1 forgotten"):
        kept.check_free_of({"c"})
    assert kept.purge({"b"}) == ["rows", "replay"]
    assert kept.names() == ["rows", "count"]
    assert kept["rows"].ids == ["a", "c"]
    kept.check_free_of({"b"})
    with pytest.raises(RunError, match="no artefact 'replay'"):
        kept["replay"]


def test_artefacts_come_back_from_plain_values():
    first, second = Artefacts(), Artefacts()
    first.put("rows", stored("abc", [2, 1, 3]))
    first.put("list", [torch.ones(2)], ids=["a"])
    second.load_state(first.state())
    assert second.names() == first.names()
    assert torch.equal(second["rows"].values, first["rows"].values)
    assert second.ids("list") == ["a"]


def test_condemned_records_are_readable_in_role_forget_alone():
    factory, request = tiny("classifier")
    run = Run(factory(), request, find("methods", "grad_diff")(), train=TRAIN)
    condemned = request.ids["forget"][0]
    assert len(run.batch([condemned], "forget")) == 1
    for role in ("retain", "holdout", "test"):
        with pytest.raises(BuriedError, match=rf"'{condemned}' is being forgotten and cannot be read in role '{role}'"):
            run.batch([request.ids["retain"][0], condemned], role)


def test_buried_records_are_not_read_again_and_nothing_lists_them():
    factory, request = tiny("causal_lm")
    run = Run(factory(), request, find("methods", "scrub")(forget_batch=3, retain_batch=6), train=TRAIN)
    run.execute()
    assert run.buried == set(request.ids["forget"])
    with pytest.raises(BuriedError, match="was forgotten and cannot be read again"):
        run.batch(request.ids["forget"][:1], "forget")
    assert "reference_states/forget" in run.purged
    assert "reference_head" in run.purged
    assert "snapshot 0" in run.purged
    assert "moments of optimiser main" in run.purged
    assert not run.snapshots
    assert not run.optimisers
    for name in run.artefacts.names():
        assert not run.buried.intersection(run.artefacts.ids(name))


@dataclass(frozen=True, kw_only=True)
class Prying(Method):
    """Fits an assistant on records of its own choice."""

    card: ClassVar[Card] = Card(name="prying", title="Prying", year=2026, source="a test")
    ids: tuple[str, ...]

    def solve(self, run):
        asked = Resolved(run.request.dataset, {"retain": list(self.ids)})
        run.fit("assistant", find("methods", "finetune")(), learner=tiny("classifier")[0](), request=asked)


def test_what_is_buried_stays_buried_in_nested_fits():
    factory, request = tiny("classifier")
    run = Run(factory(), request, Prying(ids=tuple(request.ids["holdout"])), train=TRAIN)
    run.buried = set(request.ids["holdout"])
    with pytest.raises(BuriedError, match="was forgotten"):
        run.execute()


def test_a_record_with_several_answers_keeps_a_row_for_each():
    factory, request = tiny("causal_lm")
    columns = request.dataset.columns
    data = Dataset(
        "several", request.dataset.ids, {"question": columns["question"], "answer": columns["perturbed_answer"]}
    )
    learner = factory()
    assert isinstance(learner, CausalLM)
    run = Run(learner, Resolved(data, request.ids), find("methods", "npo")(), train=TRAIN)
    run.store("reference", role="forget", read=learner.log_likelihood)
    ids = [request.ids["forget"][2], request.ids["forget"][0]]
    batch = run.batch(ids, "forget")
    with learner.evaluating():
        assert torch.allclose(batch.stored["reference"], learner.log_likelihood(batch), atol=1e-5)
