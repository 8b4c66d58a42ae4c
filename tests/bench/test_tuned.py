"""A bench is tuned row by row with one budget, and the shipped ones hold what their committed trials found."""

import csv
from pathlib import Path

import pytest
import yaml

from expunge.bench import Budget, read_bench, tune_bench
from expunge.bench._suite import bench_file
from expunge.config import read_yaml
from expunge.errors import ConfigError

TUNING = Path(__file__).parents[2] / "records" / "tuning"


@pytest.mark.parametrize("name", sorted(p.stem for p in TUNING.glob("*.csv")))
def test_a_shipped_bench_has_the_best_of_its_committed_trials_and_as_many_for_each_row(name):
    with (TUNING / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    trials: dict[tuple[str, str], list] = {}
    for row in rows:
        trials.setdefault((row["request"], row["method"].replace("-", " ")), []).append(row)
    assert len({len(made) for made in trials.values()}) == 1
    entries = {(p.name, e.label): e.settings for p in read_bench(name).parts for e in p.entries}
    for key, made in trials.items():
        best = min((t for t in made if not t["error"]), key=lambda t: float(t["objective"]))
        for setting in best["settings"].split(" "):
            path, _, value = setting.partition("=")
            block, field = path.split(".", 1)
            assert entries[key][block][field] == yaml.safe_load(value), (key, path)


def test_every_row_is_tuned_and_the_bench_that_is_written_runs_with_what_was_found(recipe, cache, tmp_path):
    pytest.importorskip("optuna")
    source = tmp_path / "two.yaml"
    methods = [{"method": {"name": "finetune"}, "stop": None}, {"method": {"name": "ssd", "alpha": "sweep"}}]
    request = {"recipe": str(recipe), "set": {"retrained.seeds": [11]}, "methods": methods}
    source.write_text(yaml.safe_dump({"title": "Two", "seeds": 1, "requests": {"class": request}}))
    told: list[str] = []
    file = tune_bench(
        read_bench(source), source, tmp_path / "out", budget=Budget(trials=2), cache=cache, talk=told.append
    )
    made = read_bench(file)
    assert told[0].startswith("1 rows × 2 trials")  # a sweep has nothing to choose
    assert made.parts[0].recipe.retrained["seeds"] == [11]
    found = {e.method: e.settings for e in made.parts[0].entries if e.method in ("finetune", "ssd")}
    with (tmp_path / "out" / "class" / "finetune" / "finetune-trials.csv").open() as trials:
        best = min(csv.DictReader(trials), key=lambda t: float(t["objective"]))
    assert found["finetune"]["train"]["lr"] == float(best["train.lr"])
    assert found["ssd"]["method"] == {"name": "ssd", "alpha": "sweep"}
    assert "2 trials a method" in made.tuning


def test_a_request_may_change_its_recipe(recipe, tmp_path):
    source = tmp_path / "sets.yaml"
    block = {"recipe": str(recipe), "set": {"request.forget": {"label": [3, 5], "split": "train"}, "seed": 7}}
    source.write_text(yaml.safe_dump({"requests": {"two": {**block, "methods": ["npo"]}}}))
    (part,) = read_bench(source).parts
    assert (part.recipe.request["forget"]["label"], part.recipe.seed) == ([3, 5], 7)
    source.write_text(yaml.safe_dump({"requests": {"two": {**block, "sets": {}}}}))
    with pytest.raises(ConfigError, match=r"requests.two.sets is not a field of a request \(recipe, set, methods\)"):
        read_bench(source)


def test_the_requests_of_the_digits_sweep_go_from_easy_to_hard():
    values = read_yaml(bench_file("digits_sweep"))["requests"]
    assert next(iter(values)) == "easiest"
    assert {"hardest", "searched", "random_10", "class", "mislabelled"} <= set(values)


def test_a_bench_of_a_regressor_leaves_out_refusals_and_says_why():
    for part in read_bench("uci").parts:
        assert "refuse" not in [e.method for e in part.entries]
        assert part.left_out == {"refuse": "no answer of a regressor is a refusal"}
