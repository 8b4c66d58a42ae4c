"""A bench runs every cell once, goes on where it was killed, and says the same however many processes work."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from expunge.bench import read_bench, run_bench, suites
from expunge.bench._grid import _received, cells_of
from expunge.bench._pooled import Pooled
from expunge.bench._suite import Bench, Entry
from expunge.bench._table import _beats, _Placed
from expunge.errors import ConfigError, DataError, RunError
from expunge.pages import BenchView
from expunge.recipe import shipped
from expunge.run_folder import RunFolder

SCHEMA = Path(__file__).parents[2] / "src/expunge/pages/schema/bench-1.json"
METHODS = "grad_diff,grad_diff:forget_weight=0.3,grad_diff:train.lr=1e30"
TRIVIAL = ["retrain", "do_nothing", "finetune", "refuse"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("bench") / "out"


@pytest.fixture(scope="module")
def ran(recipe, cache, out) -> BenchView:
    """Seven methods, one of which fails, by two seeds, on two processes."""
    [view] = run_bench(read_bench(recipe, methods=METHODS, seeds=2), out, workers=2, cache=cache)
    return view


def rows_of(view):
    return {row.name: row for row in view.rows}


def scores(out):
    with (out / "scores.csv").open() as file:
        return list(csv.DictReader(file))


def hashes(out):
    return {p.parent.name: json.loads(p.read_text())["model_hash"] for p in sorted(out.glob("runs/*/run.json"))}


def test_every_method_is_a_row_and_trivial_baselines_are_controls(ran):
    assert [r.name for r in ran.rows[:4]] == TRIVIAL
    assert [r.name for r in ran.rows[4:]] == METHODS.replace(":", " ").split(",")
    assert [r.method.aim == "control" for r in ran.rows] == [True] * 4 + [False] * 3


def test_a_class_that_is_still_known_leaves_nothing_of_tow_and_retraining_most(ran):
    found = rows_of(ran)
    assert found["do_nothing"].tug_of_war < 0.2
    assert found["retrain"].tug_of_war > 0.8
    assert found["retrain"].spreads == {}  # two retrained models say nothing of a spread
    assert ran.reference.seeds == [11, 12]
    assert ran.seeds == [0, 1]


def test_a_cell_that_fails_is_a_row_that_says_so_and_the_rest_goes_on(ran, out):
    rows = rows_of(ran)
    failed = rows.pop("grad_diff train.lr=1e30")
    assert (failed.state, failed.n, failed.e_forget, failed.rank) == ("failed", 0, None, None)
    assert "seed 0: " in failed.note and "seed 1: " in failed.note  # noqa: PT018
    assert {r.n for r in rows.values()} == {2}
    assert len(list(out.glob("runs/*/run.json"))) == 12
    assert {r["state"] for r in scores(out) if r["method"] == failed.name} == {"failed"}


def test_a_row_is_the_mean_of_its_runs(ran, out):
    row = rows_of(ran)["grad_diff"]
    views = [RunFolder.open(out / "runs" / f"grad_diff-{seed}").read("view.json") for seed in (0, 1)]
    points = [v["plane"]["unlearned"][0] for v in views]
    assert row.e_forget == pytest.approx(np.mean([p["e_forget"] for p in points]))
    assert row.e_utility == pytest.approx(np.mean([p["e_utility"] for p in points]))
    assert [p.e_forget for p in row.seeds] == [p["e_forget"] for p in points]
    assert row.reports == ["runs/grad_diff-0/report.html", "runs/grad_diff-1/report.html"]
    for metric, reading in row.readings.items():
        values = [s["unlearned"] for v in views for s in v["scores"] if s["id"] == metric]
        assert reading.unlearned == pytest.approx(np.mean(values)), metric
    assert sum(row.verdicts.values()) == 2


def test_doing_nothing_lies_at_one_and_costs_next_to_nothing(ran):
    row = rows_of(ran)["do_nothing"]
    assert row.e_forget == pytest.approx(1.0)
    assert (row.e_forget_interval.low, row.e_forget_interval.high) == pytest.approx((1.0, 1.0))
    assert row.cpu_seconds < rows_of(ran)["retrain"].cpu_seconds / 2
    assert row.beats_trivial is None


def test_two_seeds_are_said_to_be_few(ran):
    row = rows_of(ran)["retrain"]
    assert (row.state, row.known, row.needed) == ("too-few", 2, 3)


def test_the_table_follows_the_published_schema_and_is_what_was_returned(ran, out):
    written = json.loads((out / "bench.json").read_text())
    jsonschema.validate(written, json.loads(SCHEMA.read_text()))
    assert BenchView.model_validate(written) == ran


def test_scores_hold_every_method_seed_and_score_once(ran, out):
    keys = [(r["method"], r["seed"], r["score"]) for r in scores(out)]
    assert len(keys) == len(set(keys)) == 12 * len(ran.metrics) + 2


def test_a_whole_cell_is_not_run_again_and_settings_that_changed_are_refused(ran, recipe, cache, out):
    made = {p: p.stat().st_mtime_ns for p in out.glob("runs/*/run.json")}
    [again] = run_bench(read_bench(recipe, methods="grad_diff", seeds=2), out, workers=2, cache=cache)
    assert {p: p.stat().st_mtime_ns for p in made} == made
    assert rows_of(again)["grad_diff"].e_forget == rows_of(ran)["grad_diff"].e_forget
    other = read_bench(recipe, methods="grad_diff", seeds=2, overrides=["train.epochs=3"])
    with pytest.raises(RunError, match="was run with other settings"):
        run_bench(other, out, cache=cache)


def test_the_number_of_processes_changes_no_figure(recipe, cache, tmp_path):
    bench = read_bench(recipe, methods="grad_diff", seeds=1)
    for workers in (1, 3):
        run_bench(bench, tmp_path / str(workers), workers=workers, cache=cache)
    assert (tmp_path / "1/scores.csv").read_bytes() == (tmp_path / "3/scores.csv").read_bytes()
    assert hashes(tmp_path / "1") == hashes(tmp_path / "3")


def test_killed_in_the_middle_and_called_again_it_ends_as_if_it_had_not_been(recipe, cache, tmp_path):
    script = (
        "import sys; from pathlib import Path; from expunge.bench import read_bench, run_bench\n"
        "if __name__ == '__main__':\n"
        "    run_bench(read_bench(sys.argv[1], methods='grad_diff', seeds=2), Path(sys.argv[2]), workers=2)\n"
    )
    (tmp_path / "script.py").write_text(script)
    killed = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, tmp_path / "script.py", recipe, killed])
    deadline = time.monotonic() + 250
    while len(list(killed.glob("runs/*/run.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = len(list(killed.glob("runs/*/run.json")))
    assert 3 <= before < 10
    bench = read_bench(recipe, methods="grad_diff", seeds=2)
    run_bench(bench, killed, workers=2, cache=cache)
    run_bench(bench, tmp_path / "whole", workers=2, cache=cache)
    assert (killed / "scores.csv").read_bytes() == (tmp_path / "whole/scores.csv").read_bytes()
    assert hashes(killed) == hashes(tmp_path / "whole")
    assert not list(killed.glob("runs/.*"))


def test_two_benches_cannot_work_in_one_folder(recipe, cache, tmp_path):
    from expunge.bench._bench import _alone

    with _alone(tmp_path), pytest.raises(RunError, match="another bench is at work"):
        run_bench(read_bench(recipe, seeds=1), tmp_path, cache=cache)


def test_a_process_that_dies_is_told_from_one_that_refuses():
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=os._exit, args=(7,))
    process.start()
    sender.close()
    process.join()
    assert _received(process, receiver).error == "the process ended with exit code 7; was there enough memory?"


def test_a_seed_that_a_reference_has_is_refused_for_it_would_count_twice(recipe):
    with pytest.raises(ConfigError, match="seed 11 is that of a run and of a retrained reference"):
        read_bench(recipe, seeds=2, overrides=["seed=10"])


def test_methods_are_named_with_their_settings(recipe):
    [part] = read_bench(recipe, methods="npo,npo:beta=0.3:train.lr=1e-4,finetune:train.epochs=1").parts
    entries = {e.label: e for e in part.entries}
    assert list(entries) == ["retrain", "do_nothing", "refuse", "finetune train.epochs=1", "npo",
                             "npo beta=0.3 train.lr=1e-4"]  # fmt: skip
    made = entries["npo beta=0.3 train.lr=1e-4"].over(part.recipe, seed=4, exclude=None)
    assert (made.method, made.train["lr"], made.train["epochs"], made.seed) == (
        {"name": "npo", "beta": 0.3},
        1e-4,
        2,
        4,
    )
    assert entries["npo"].over(part.recipe, seed=0, exclude=None).method == {"name": "npo"}
    with pytest.raises(ConfigError, match="npo is listed twice with the same settings"):
        read_bench(recipe, methods="npo,npo")
    with pytest.raises(ConfigError, match="no method is called 'npoo'"):
        read_bench(recipe, methods="npoo")


def test_a_file_of_blocks_is_a_method(recipe, tmp_path):
    (tmp_path / "npo.yaml").write_text("method: {name: npo, beta: 0.7}\ntrain: {lr: 2.0e-4}\n")
    [part] = read_bench(recipe, methods=f"npo,{tmp_path / 'npo.yaml'}").parts
    assert part.entries[-1].label == f"npo ({tmp_path.name}/npo.yaml)"
    assert part.entries[-1].settings == {"method": {"name": "npo", "beta": 0.7}, "train": {"lr": 2e-4}}


def test_all_rows_are_scored_on_the_same_records(recipe):
    [part] = read_bench(recipe).parts
    stopped = Entry(label="a", settings={"method": {"name": "npo"}, "stop": {"validation": "random10"}})
    other = Entry(label="b", settings={"method": {"name": "npo"}, "stop": {"validation": ["digits/1"]}})
    one = type(part)(name="x", recipe=part.recipe, entries=[*part.entries, stopped], left_out={})
    bench = Bench(name="x", title="x", parts=[one], seeds=1)
    assert {str(c.recipe.audit_config().exclude) for c in cells_of(bench, one, Path("out"))} == {"random10"}
    two = type(part)(name="x", recipe=part.recipe, entries=[stopped, other], left_out={})
    with pytest.raises(ConfigError, match=r"stop\.validation differs"):
        cells_of(bench, two, Path("out"))


def test_unknown_benches_and_blocks_are_refused_by_name(tmp_path):
    with pytest.raises(DataError, match="no bench or recipe is called 'digit'") as refused:
        read_bench("digit")
    assert "digits" in refused.value.hint
    file = tmp_path / "b.yaml"
    file.write_text("requests: {a: {recipe: digits_class, methods: [{method: npo, trian: {}}]}}")
    with pytest.raises(ConfigError, match="trian is no part of a method's entry") as refused:
        read_bench(file)
    assert "train" in refused.value.hint


@pytest.mark.parametrize("name", sorted(p.stem for p in suites().glob("*.yaml")))
def test_a_shipped_bench_fits_its_recipes_and_says_what_it_costs(name):
    assert not (shipped() / f"{name}.yaml").exists(), "a recipe of the same name could not be benched"
    bench = read_bench(name)
    for part in bench.parts:
        assert len(cells_of(bench, part, Path("out"))) == bench.seeds * len(part.entries)
        assert {e.method for e in part.entries} >= set(TRIVIAL).difference(part.left_out)
    head = (suites() / f"{name}.yaml").read_text().splitlines()[:4]
    assert [line.split(":")[0] for line in head] == ["# What", "# Cost", "# Run", "# Override"]


def placed(low, high):
    span = Pooled(mean=(low + high) / 2, low=low, high=high)
    return _Placed(forget=span, utility=span, distance=span, off=(span.mean, span.mean))


def test_a_method_beats_the_trivial_ones_only_beyond_its_interval():
    entries = {name: Entry(label=name, settings={"method": {"name": name}}) for name in [*TRIVIAL, "npo"]}
    trivial = {"retrain": placed(0, 0.1), "do_nothing": placed(0.9, 1.1), "finetune": placed(0.7, 0.9)}
    for own, claim, reason in (
        (placed(0.1, 0.3), True, "lies under that of the nearest one, finetune"),
        (placed(0.1, 0.8), None, "cannot be told from that of finetune"),
        (placed(0.7, 1.1), False, "is no smaller than that of finetune"),
    ):
        beats, why = _beats(entries["npo"], {**trivial, "npo": own}, entries)
        assert beats is claim
        assert reason in why
    hidden, why = _beats(entries["npo"], {**trivial, "refuse": placed(0, 0.1), "npo": placed(0.1, 0.3)}, entries)
    assert hidden is False
    assert "refuse, which only hides it" in why
    assert _beats(entries["npo"], {"npo": placed(0, 1)}, entries)[0] is None
    assert _beats(entries["finetune"], trivial, entries) == (None, "")
