"""U-LiRA beside a bench: exact retraining cannot be told, an original can; and what a pool is."""

import numpy as np
import pytest

from expunge.bench import read_bench
from expunge.bench._shadows import _attacked, pool_of, shadowed
from expunge.data import Dataset
from expunge.errors import ConfigError
from expunge.request import Resolved


def test_models_that_unlearned_well_are_guessed_by_chance_and_others_always():
    random = np.random.default_rng(0)
    inside_nS = random.permuted(np.tile([True, False], (60, 8)), axis=1)
    usual_n1 = random.normal(size=(60, 1)) * 3
    phi_nS = usual_n1 + random.normal(size=inside_nS.shape)
    alike = _attacked(list(phi_nS.T), inside_nS)
    assert alike.accuracy_interval.low < 0.5 < alike.accuracy_interval.high
    assert alike.tpr_at_low_fpr < 0.1
    apart = _attacked(list((phi_nS + 20 * inside_nS).T), inside_nS)
    assert apart.accuracy == apart.accuracy_p95 == apart.tpr_at_low_fpr == 1.0
    assert (apart.shadows, apart.n) == (16, 60)


def test_a_method_that_fails_on_a_shadow_model_has_its_reason_and_no_figure():
    found = _attacked([np.zeros(3), "it diverged"], np.ones((3, 2), dtype=bool))
    assert (found.state, found.note, found.accuracy) == ("failed", "it diverged", None)


def test_unseen_records_of_the_pool_are_of_the_forgotten_classes():
    ids = [f"r{n}" for n in range(12)]
    labels = np.array([0, 1] * 6)
    sets = {"forget": ["r1", "r3"], "retain": ["r0", "r2"], "test": ids[4:]}
    pool = pool_of(Resolved(Dataset("made", ids, {"label": labels}), sets))
    assert pool[:2] == ["r1", "r3"]
    assert len(pool) == 4
    assert {int(i[1:]) % 2 for i in pool} == {1}


def test_every_row_is_attacked_and_a_second_call_reads_what_was_kept(recipe, cache):
    bench = read_bench(recipe, methods="finetune", shadows=4, overrides=["retrained={seeds: [11]}"])
    told: list[str] = []
    options = {"count": bench.shadows, "workers": 1, "cache": cache}
    first = shadowed(bench.parts[0], talk=told.append, **options)
    assert set(first) == {e.label for e in bench.parts[0].entries}
    assert all(0 <= found.accuracy <= 1 and found.n > 100 for found in first.values())
    assert first["refuse"].accuracy > 0.9  # a filter answers as none that never met it
    assert any("8 of 8 trained" in text for text in told)
    told.clear()
    assert shadowed(bench.parts[0], talk=told.append, **options) == first
    assert not any("trained" in text for text in told)


@pytest.mark.parametrize("count", [2, 5])
def test_an_odd_or_too_small_number_of_shadow_models_is_refused(recipe, count):
    with pytest.raises(ConfigError, match="shadows must be 0, or even"):
        read_bench(recipe, shadows=count)
