"""One request block means the same on pictures, tables and texts, for classifiers and regressors."""

import numpy as np
import pytest

from expunge.data import Dataset, digits
from expunge.errors import ConfigError, RequestError
from expunge.recipe import recipe_of
from expunge.request import ForgetRequest

N = 40


def people(**columns):
    """Forty records: 30 trained on, ten tested on, in three classes of three users."""
    shared = {
        "label": np.arange(N) % 3,
        "user": [f"u{n % 3}" for n in range(N)],
        "age": np.arange(N),
        "split": ["train"] * 30 + ["test"] * 10,
    }
    return Dataset("people", [f"r{n}" for n in range(N)], {**shared, **columns})


PICTURES = people(image=np.zeros((N, 1, 4, 4), dtype=np.float32))
TABLE = people(features=np.zeros((N, 5), dtype=np.float32))
TEXTS = people(text=[f"number {n}" for n in range(N)])
NUMBERS = people(features=np.zeros((N, 5), dtype=np.float32), target=np.arange(N) / 10)


def forgotten(data, which):
    return ForgetRequest(data, forget=which).resolve()


@pytest.mark.parametrize(
    ("which", "rows"),
    [
        ({"class": 2}, range(2, 30, 3)),
        ({"class": [0, 2]}, [n for n in range(30) if n % 3 != 1]),
        ({"user": "u1"}, range(1, 30, 3)),
        ({"age": {"above": 26}}, [27, 28, 29]),
        ({"age": {"from": 26, "below": 28}}, [26, 27]),
        ({"age": {"to": 2}, "class": 1}, [1]),
        ({"age": {"above": 26}, "split": "test"}, None),
        ({"label": 2, "split": "train"}, range(2, 30, 3)),
    ],
)
def test_one_request_chooses_the_same_records_of_pictures_tables_texts_and_numbers(which, rows):
    if rows is None:
        with pytest.raises(RequestError, match="in forget and in test"):
            forgotten(TABLE, which)
        return
    found = [forgotten(data, which) for data in (PICTURES, TABLE, TEXTS, NUMBERS)]
    assert len({request.digest for request in found}) == 1
    assert found[0].ids["forget"] == [f"r{n}" for n in rows]
    assert len(found[0].ids["forget"]) + len(found[0].ids["retain"]) == 30


def test_random_records_are_a_share_or_a_number_of_what_was_trained_on_and_follow_their_seed():
    share, number, other = (forgotten(TABLE, {"random": size}) for size in (0.1, 3, 4))
    assert share.ids["forget"] == number.ids["forget"]
    assert (len(number.ids["forget"]), len(other.ids["forget"])) == (3, 4)
    assert set(other.ids["forget"]) <= set(TABLE.split("train"))
    again, reseeded = (forgotten(TEXTS, {"random": 4, "seed": seed}) for seed in (0, 1))
    assert again.digest == other.digest != reseeded.digest
    half = forgotten(TABLE, {"random": 0.5, "class": 1}).ids["forget"]
    assert len(half) == 5
    assert set(half) < set(forgotten(TABLE, {"class": 1}).ids["forget"])
    drawn = [i for seed in range(300) for i in forgotten(TABLE, {"random": 3, "seed": seed}).ids["forget"]]
    assert set(drawn) == set(TABLE.split("train"))


def test_a_class_goes_by_its_name_and_a_user_by_the_field_that_the_data_have():
    drawn = people(label_name=["a/1", "a/2", "b/1"] * 13 + ["a/1"])
    assert forgotten(drawn, {"class": "b/1"}).digest == forgotten(drawn, {"class": 2}).digest
    columns = {k: v for k, v in TABLE.columns.items() if k != "user"}
    drawers = Dataset("people", TABLE.ids, {**columns, "drawer": TABLE.columns["user"]})
    assert forgotten(drawers, {"user": "u1"}).digest == forgotten(TABLE, {"user": "u1"}).digest


def test_a_column_stands_before_a_kind_of_the_same_name():
    own = people(random=["yes", "no"] * 20, hardest=[0, 1] * 20)
    assert forgotten(own, {"random": "no"}).ids["forget"] == [f"r{n}" for n in range(1, 30, 2)]
    assert forgotten(own, {"hardest": 0}).ids["forget"] == [f"r{n}" for n in range(0, 30, 2)]
    named = people(**{"class": ["x"] * 2 + ["y"] * 38})
    assert forgotten(named, {"class": "x"}).ids["forget"] == ["r0", "r1"]


def test_mislabelled_records_are_those_whose_label_is_not_the_true_one():
    true = np.arange(N) % 3
    true[[4, 35]] += 1
    assert forgotten(people(true_label=true), {"mislabelled": "true_label"}).ids["forget"] == ["r4"]
    found = forgotten(digits.load(confuse={"classes": [3, 8], "count": 60}), {"mislabelled": "true_label"})
    labels = found.dataset.values("label", found.ids["forget"]), found.dataset.values("true_label", found.ids["forget"])
    assert len(labels[0]) == 60
    assert (labels[0] + labels[1] == 11).all()
    with pytest.raises(RequestError, match="no record is mislabelled: label equals true_label everywhere"):
        forgotten(people(true_label=np.arange(N) % 3), {"mislabelled": "true_label"})


@pytest.mark.parametrize(
    ("which", "message", "hint"),
    [
        ({"random": 1.5}, "random must be a share in (0, 1) or a number from 1 to 29, got 1.5", "among 30 records"),
        ({"random": 30}, "a number from 1 to 29, got 30", "among 30 records"),
        ({"random": True}, "got True", "among 30 records"),
        ({"random": 0.1, "seed": -1}, "seed must be a whole number ≥ 0, got -1", ""),
        ({"class": 7}, "no record has label = 7", "values: 0, 1, 2"),
        ({"class": [0, 1, 2]}, "forget covers everything that was trained on", "delete the model"),
        ({"user": "eve"}, "no record has user = 'eve'", "values: 'u0', 'u1', 'u2'"),
        ({"mislabelled": "truth"}, "people has no field 'truth'", ""),
        ({"age": {"above": 29}}, "no record has age above 29", "it goes from 0 to 29"),
        ({"age": {"over": 29}}, "age: 'over' is no bound", "above, from, to, below"),
        ({"age": {}}, "age: None is no bound", "above, from, to, below"),
        ({"age": {"above": "old"}}, "age cannot be compared with 'old'", "numbers and texts"),
        ({"hardest": 0.1}, "only a trained model can say which records are the hardest", "recipe"),
        ({"rondom": 0.1}, "people has no field 'rondom'", ""),
    ],
)
def test_what_cannot_be_chosen_is_refused_in_one_line(which, message, hint):
    with pytest.raises(RequestError) as error:
        forgotten(TABLE, which)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert hint in str(error.value.hint)


def test_data_without_classes_or_users_say_which_fields_they_have():
    bare = Dataset("bare", ["a", "b"], {"features": np.zeros((2, 1)), "target": np.zeros(2)})
    for which, what in (({"class": 1}, "classes (label)"), ({"user": "x"}, "users (user, author, drawer, document)")):
        with pytest.raises(RequestError) as error:
            forgotten(bare, which)
        assert f"bare names no {what}" in str(error.value)
        assert "fields: features, target" in str(error.value.hint)


# What only the original can choose --------------------------------------------------------------------------------


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe on digits whose original is trained once for a second."""
    monkeypatch.setenv("EXPUNGE_CACHE", str(tmp_path))
    learner = {"kind": "classifier", "model": {"name": "mlp", "inputs": 64, "classes": 10, "hidden": [32]}}
    train = {"epochs": 5, "lr": 3e-3, "optimiser": "adam", "clip": None}
    original = {"train": {"data": {"name": "digits"}, "learner": learner, "train": train}}

    def made(which):
        return recipe_of({"original": original, "request": {"forget": which}, "method": "finetune"}, tmp_path)

    return made


def test_the_hardest_records_are_those_that_the_original_is_surest_of(recipe):
    hard, easy = (recipe({kind: 0.1}).resolve() for kind in ("hardest", "easiest"))
    assert len(hard.ids["forget"]) == len(easy.ids["forget"]) == 130
    from expunge.recipe import Job, cache_folder, open_original

    one = recipe({"hardest": 0.1})
    trained = one.train_recipe()
    folder = Job(trained, hard.dataset, (), trained.seed).folder(cache_folder())
    learner = open_original(one, hard.dataset, folder)

    def loss(ids):
        return -learner.score(hard.dataset, ids)[""]["logp"]

    assert loss(hard.ids["forget"]).max() <= loss(hard.ids["retain"]).min()
    assert loss(easy.ids["forget"]).min() >= loss(easy.ids["retain"]).max()
    settled = one.settled()
    assert settled.request["forget"] == hard.ids["forget"]
    assert settled.resolve().digest == hard.digest
    narrowed = recipe({"hardest": 5, "class": 3}).resolve()
    assert set(narrowed.dataset.values("label", narrowed.ids["forget"])) == {3}


def test_a_search_over_two_levels_is_the_same_again(recipe):
    first, second = (recipe({"hardest": 20, "by": "search", "seed": 1}).resolve() for _ in range(2))
    assert first.digest == second.digest
    assert len(first.ids["forget"]) == 20


def test_a_worst_case_that_cannot_be_chosen_is_refused_before_anything_is_trained(recipe, tmp_path):
    for which, message in (
        ({"hardest": 2.0}, r"hardest must be a share in \(0, 1\) or a number from 1 to 1299, got 2.0"),
        ({"easiest": 5, "by": "eye"}, "easiest by 'eye'"),
        ({"easiest": 5, "class": 11}, "no record has label = 11"),
    ):
        with pytest.raises((RequestError, ConfigError), match=message):
            recipe(which).resolve()
    assert not list(tmp_path.rglob("*.safetensors"))
