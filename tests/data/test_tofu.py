"""TOFU's folder of files: joins, subsets, traps and the published data themselves."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from expunge.data import tofu
from expunge.errors import ConfigError, DataError

REAL = Path(os.environ.get("EXPUNGE_DATA", Path(__file__).parents[2] / "../shared/data")) / "tofu"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="no TOFU files: set EXPUNGE_DATA")


def pairs(start, stop, kind="full"):
    return [{"question": f"Who is {kind} {n // 2}?", "answer": f"Author {kind} {n}."} for n in range(start, stop)]


def perturbed(rows):
    return [
        {
            **row,
            "paraphrased_question": "Say: " + row["question"],
            "paraphrased_answer": "Well, " + row["answer"],
            "perturbed_answer": [f"Well, wrong {n}." for n in range(5)],
        }
        for row in rows
    ]


def small_files():
    """Forty pairs, of which the last ten (a quarter of them) are forgotten; each question is asked twice."""
    full, holdout = pairs(0, 40), pairs(0, 4, "stranger")
    facts = [{"question": "Capital of France?", "answer": "Paris", "perturbed_answer": ["Rome", "Oslo", "Bern"]}]
    return {
        "full": full,
        "forget25": full[30:],
        "forget25_perturbed": perturbed(full[30:]),
        "retain75": full[:30],
        "retain_perturbed": perturbed(full[:4]),
        "holdout05": holdout[2:],
        "holdout10": holdout,
        "world_facts_perturbed": facts,
        "real_authors_perturbed": facts * 3,
    }


def assemble(**changed):
    files = {**small_files(), **changed}
    files = {file: rows for file, rows in files.items() if rows is not None}
    return tofu.assemble(files, name="toy", forget="forget25")


def write(folder, files, suffix=".jsonl"):
    for file, rows in files.items():
        (folder / f"{file}{suffix}").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_every_split_and_subset_is_named():
    dataset = assemble()
    assert Counter(dataset.column("split")) == {"train": 40, "holdout": 4, "real_authors": 3, "world_facts": 1}
    assert dataset.select("forget") == dataset.select("forget25") == [f"full/{n}" for n in range(30, 40)]
    assert dataset.select("retain") == dataset.select("retain75") == [f"full/{n}" for n in range(30)]
    assert dataset.select("forget_perturbed") == dataset.select("forget25_perturbed") == dataset.select("forget")
    assert dataset.select("retain_perturbed") == ["full/0", "full/1", "full/2", "full/3"]
    assert dataset.select("holdout05") == ["holdout10/2", "holdout10/3"]


def test_evaluation_fields_are_joined_by_question_and_answer():
    dataset = assemble()
    assert dataset.values("paraphrased_answer", ["full/3", "full/4", "full/31"]) == [
        "Well, Author full 3.",
        None,
        "Well, Author full 31.",
    ]
    assert len(dataset.values("perturbed_answer", ["full/30"])[0]) == 5
    assert dataset.values("paraphrased_question", ["full/30"]) == ["Say: Who is full 15?"]


def test_the_plain_answer_of_a_short_question_is_its_paraphrase():
    dataset = assemble()
    assert dataset.values("paraphrased_answer", ["world_facts/0"]) == ["Paris"]
    assert dataset.values("perturbed_answer", ["real_authors/2"]) == [["Rome", "Oslo", "Bern"]]


def test_an_author_is_twenty_rows_unless_the_file_says_so():
    assert assemble().values("author", ["full/0", "full/19", "full/20", "holdout10/0"]) == ["0", "0", "1", "holdout-0"]
    named = [{**row, "author": 7, "attribute": "city"} for row in pairs(0, 40)]
    dataset = assemble(full=named)
    assert set(dataset.values("author", dataset.split("train"))) == {"7"}
    assert dataset.values("attribute", ["full/0", "holdout10/0"]) == ["city", None]


def test_only_the_first_task_of_a_file_of_several_is_the_forget_set():
    tasks = [{**row, "task_id": str(1 + n // 10)} for n, row in enumerate(reversed(pairs(0, 40)))]
    dataset = assemble(forget25=tasks)
    assert dataset.select("forget") == [f"full/{n}" for n in range(30, 40)]
    assert "task_id" not in dataset.columns


def test_full_is_put_together_from_a_forget_and_a_retain_file():
    assert assemble(full=None).fingerprint == assemble().fingerprint
    with pytest.raises(DataError, match="no file `full`"):
        assemble(full=None, retain75=None)


def test_the_retain_set_is_the_rest_where_it_has_no_file():
    assert assemble(retain75=None).select("retain75") == [f"full/{n}" for n in range(30)]


def test_a_row_that_is_not_in_full_is_named_without_its_text():
    wrong = [{**row, "answer": row["answer"] + "!"} if n == 3 else row for n, row in enumerate(pairs(30, 40))]
    with pytest.raises(DataError, match="toy: forget25_perturbed, row 3: no row of full has this") as caught:
        assemble(forget25_perturbed=perturbed(wrong))
    assert "Author" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"full": [{"question": "Who?"}]}, "full, row 0: answer is missing or empty"),
        ({"forget25_perturbed": [{**pairs(30, 31)[0], "paraphrased_answer": "A", "perturbed_answer": "B"}]}, "no list"),
        ({"retain_perturbed": pairs(0, 1)}, "retain_perturbed, row 0: paraphrased_answer is missing"),
        ({"holdout10": pairs(3, 4)}, "holdout10, row 0: is in full as well"),
        ({"forget25": [{**pairs(30, 31)[0], "task_id": "2"}]}, "forget25 holds no rows"),
    ],
)
def test_a_damaged_row_is_named(changed, message):
    with pytest.raises(DataError, match=message):
        assemble(**changed)


def test_an_unknown_forget_set_is_told_which_there_are():
    with pytest.raises(DataError, match="no file `forget10`") as caught:
        tofu.assemble(small_files(), name="toy")
    assert "forget25" in caught.value.hint


def test_a_folder_of_either_ending_reads_as_its_rows(tmp_path):
    files = small_files()
    (tmp_path / "idontknow.jsonl").write_text("I do not know.\n")
    write(tmp_path, {file: files[file] for file in list(files)[:4]})
    write(tmp_path, {file: files[file] for file in list(files)[4:]}, ".json")
    assert tofu.load(tmp_path, forget="forget25").fingerprint == assemble().fingerprint
    with pytest.raises(DataError, match="no such folder"):
        tofu.load(tmp_path / "nowhere")


def test_evaluation_sets_can_be_capped(tmp_path):
    write(tmp_path, small_files())
    dataset = tofu.load(tmp_path, forget="forget25", eval_items=2)
    sizes = {name: len(dataset.select(name)) for name in ("forget_perturbed", "real_authors", "world_facts", "forget")}
    assert sizes == {"forget_perturbed": 2, "real_authors": 2, "world_facts": 1, "forget": 10}
    with pytest.raises(ConfigError, match="eval_items must be > 0"):
        tofu.load(tmp_path, eval_items=0)


def test_the_texts_of_a_data_set_hold_its_wrong_answers_too():
    texts = tofu.texts(assemble())
    assert {"Capital of France?", "Paris", "Bern", "Say: Who is full 15?", "Well, wrong 4."} < set(texts)


@needs_real
def test_the_published_files_have_the_published_sizes():
    dataset = tofu.load(REAL)
    sizes = {name: len(ids) for name, ids in dataset.subsets.items()}
    assert {name: sizes[name] for name in ("forget01", "forget05", "forget10")} == {
        "forget01": 40,
        "forget05": 200,
        "forget10": 400,
    }
    assert [sizes[f"retain{percent}"] for percent in (90, 95, 99)] == [3600, 3800, 3960]
    assert [sizes[name] for name in ("forget_perturbed", "retain_perturbed")] == [400, 400]
    assert Counter(dataset.column("split")) == {"train": 4000, "real_authors": 100, "world_facts": 117}
    assert dataset.select("forget") == [f"full/{n}" for n in range(3600, 4000)]
    assert len(set(dataset.values("author", dataset.select("forget01")))) == 2
    wrong = dataset.values("perturbed_answer", dataset.select("retain_perturbed"))
    assert Counter(map(len, wrong)) == {5: 400}


@needs_real
def test_a_question_asked_twice_in_the_published_files_keeps_both_answers():
    dataset = tofu.load(REAL, forget="forget01")
    asked = Counter(dataset.values("question", dataset.split("train")))
    twice = [question for question, times in asked.items() if times > 1]
    assert len(twice) == 1
    assert len(set(dataset.values("answer", dataset.select({"question": twice[0]})))) == 2
    assert len(dataset.select("forget_perturbed")) == 40
