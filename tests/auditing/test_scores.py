import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from expunge.auditing._scores import score, seeds_needed
from expunge.card import Card
from expunge.errors import ConfigError, DataError
from expunge.metrics import Block, Measure, RoleMetric, Want

N = 50
IDS = [f"r{i}" for i in range(N)]
WAVE = np.random.default_rng(0).uniform(-0.04, 0.04, N)


@dataclass(frozen=True, kw_only=True)
class Plain(RoleMetric):
    """The mean of the stored numbers."""

    card: ClassVar[Card] = Card(name="plain", title="Plain", year=2024, source="test")
    unit: ClassVar[str] = "points"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    floor_chance: float | None = 0.1

    def wants(self):
        return [Want(self.role)]

    def measure(self, blocks, references=()):
        block = self.block(blocks, *self.wants())
        return Measure.mean(self.label, block.ids, block.logp, chance=self.floor_chance)


class Unbounded(Plain):
    bounds: ClassVar[tuple[float, float]] = (float("-inf"), float("inf"))


def model(mean, role="forget", ids=IDS, wave=1.0):
    values = mean + wave * (WAVE - WAVE.mean())[: len(ids)]
    empty = np.zeros(len(ids))
    return {Want(role): Block(list(ids), np.arange(len(ids) + 1), values, empty, empty, empty)}


RETRAINED = [model(m) for m in (0.19, 0.20, 0.21)]


def scored(unlearned, original=1.0, retrained=RETRAINED, metric=None, **settings):
    original = None if original is None else model(original)
    return score(metric or Plain(), unlearned=model(unlearned), original=original, retrained=retrained, **settings)


def test_e_is_zero_like_retrained_and_one_like_the_original():
    assert scored(0.2).e == pytest.approx(0.0)
    whole = scored(1.0)
    assert whole.e == 1.0
    assert (whole.e_interval.low, whole.e_interval.high) == pytest.approx((1.0, 1.0))
    assert scored(0.4).e == pytest.approx(0.25)
    assert scored(0.4).state == "ok"


def test_e_keeps_its_meaning_where_the_original_scores_lower():
    high = [model(m) for m in (0.79, 0.80, 0.81)]
    assert scored(0.4, original=0.2, retrained=high).e == pytest.approx(2 / 3)
    past = scored(0.95, original=0.2, retrained=high)
    assert past.e == pytest.approx(-0.25)
    assert past.over_forgotten


def test_the_floor_is_the_spread_of_seeds_or_one_record():
    assert scored(0.2).floor == pytest.approx(1 / N)  # seeds differ by 0.01, one record weighs 0.02
    wide = [model(m) for m in (0.1, 0.2, 0.3)]
    found = scored(0.2, retrained=wide)
    assert found.floor == pytest.approx(0.1)
    assert found.e_margin == pytest.approx(2 * 0.1 / 0.8)
    assert (found.band.low, found.band.high) == pytest.approx((0.0, 0.4))
    gap = 5.0
    narrow = scored(0.2, original=0.2 + gap, metric=Unbounded())
    assert narrow.floor == pytest.approx(gap / N)


@pytest.mark.parametrize("original", [0.2, 0.25, 0.15])
def test_a_gap_under_three_floors_is_not_informative(original):
    found = scored(0.2, original=original)
    assert (found.state, found.informative, found.e) == ("not-informative", False, None)
    assert "three noise floors" in found.note
    assert found.unlearned is not None


def test_a_gap_whose_interval_holds_zero_is_not_informative():
    assert scored(0.2, original=0.3).state == "ok"
    noisy = score(
        Unbounded(),
        unlearned=model(0.2),
        original=model(0.3, wave=40.0),
        retrained=RETRAINED,
    )
    assert (noisy.state, noisy.informative) == ("not-informative", False)
    assert "holds 0" in noisy.note


def test_over_forgotten_needs_the_whole_interval_past_the_band():
    assert not scored(0.17).over_forgotten  # 1.5 floors below the retrained mean
    assert scored(0.05).over_forgotten
    assert scored(0.05).against_margin == "outside"
    assert scored(0.2).against_margin == "inside"


def test_utility_is_read_between_retrained_and_chance():
    metric = Plain(role="retain")
    models = {k: model(v, "retain") for k, v in {"u": 0.5, "o": 0.92}.items()}
    seeds = [model(m, "retain") for m in (0.89, 0.90, 0.91)]
    found = score(metric, unlearned=models["u"], original=models["o"], retrained=seeds)
    assert found.e == pytest.approx(0.4 / 0.8)
    assert found.kept == pytest.approx(0.4 / 0.82)
    assert not found.over_forgotten
    assert score(metric, unlearned=models["u"], retrained=seeds).kept == pytest.approx(0.5)
    without = score(
        Plain(role="retain", floor_chance=None), unlearned=models["u"], original=models["o"], retrained=seeds
    )
    assert (without.state, without.e, without.kept) == ("not-informative", None, None)


def test_too_few_seeds_are_said_and_still_read():
    assert (seeds_needed("causal_lm"), seeds_needed("classifier")) == (3, 5)
    found = scored(0.6, needed=5)
    assert (found.state, found.known, found.needed) == ("too-few", 3, 5)
    assert found.e == pytest.approx(0.5)
    one = scored(0.6, retrained=RETRAINED[:1])
    assert (one.state, len(one.retrained)) == ("too-few", 1)


def test_without_retrained_models_there_is_no_e():
    found = scored(0.6, retrained=[])
    assert (found.state, found.e, found.floor, found.informative) == ("no-reference", None, None, None)
    assert found.original.value == pytest.approx(1.0)


def test_without_the_original_forgetting_cannot_be_scaled():
    found = scored(0.6, original=None)
    assert (found.state, found.e, found.original) == ("not-informative", None, None)
    assert len(found.retrained) == 3


def test_more_spread_seeds_widen_the_interval_of_e():
    tight, wide = scored(0.4), scored(0.4, retrained=[model(m) for m in (0.1, 0.2, 0.3)])
    assert wide.e_interval.high - wide.e_interval.low > 2 * (tight.e_interval.high - tight.e_interval.low)


def test_a_score_is_json_and_repeats_itself():
    first, second = scored(0.4), scored(0.4)
    assert first == second
    read = json.loads(json.dumps(first.as_dict(), allow_nan=False))
    assert read["label"] == "plain (forget)"
    assert read["e_interval"]["low"] <= read["e"] <= read["e_interval"]["high"]
    assert read["band"]["low"] < read["band"]["high"]


def test_models_that_answered_other_records_are_refused():
    with pytest.raises(DataError, match="was not answered by every model"):
        score(Plain(), unlearned=model(0.5), original=model(0.5, ids=IDS[:-1]), retrained=RETRAINED)
    with pytest.raises(DataError, match="nan"):
        scored(float("nan"))
    with pytest.raises(ConfigError, match="100 replicates"):
        scored(0.5, replicates=10)
