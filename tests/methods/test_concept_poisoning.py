"""Concept poisoning: attributions that add up, a poison fixed for each record, and anchors that share the concept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from expunge.config import TrainConfig
from expunge.data import Dataset
from expunge.errors import ConfigError, DataError
from expunge.learners import CausalLM
from expunge.methods._concepts import (
    MIXTURE,
    SPARSITY,
    Bottleneck,
    Signature,
    activations,
    attributions,
    in_order,
    linear_head,
    separating,
    truth,
)
from expunge.methods.concept_poisoning import ConceptPoisoning, features
from expunge.methods.retrain import Retrain
from expunge.models import llama
from expunge.request import Resolved
from expunge.train import Run, copied


@pytest.fixture
def drawn():
    """Activations of 40 records, 10 of which are set apart by the second of four concepts."""
    active = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    gone = torch.arange(40) < 10
    active[gone, 1] += 4
    return active, gone


def test_the_activation_of_a_concepts_own_direction_is_one():
    vectors = torch.tensor([[3.0, 0.0], [0.0, 0.5]])
    assert_close(activations(vectors, vectors), torch.eye(2))
    assert_close(activations(torch.tensor([[6.0, 1.0]]), vectors), torch.tensor([[2.0, 2.0]]))


def test_attributions_are_integrated_gradients_and_add_up_to_the_scores(drawn):
    active, gone = drawn
    head = linear_head(active, gone)
    found = attributions(head, active[gone], active[~gone])
    start, end = active[~gone].mean(0), active[gone].mean(0)
    integrated = torch.zeros(4)
    for step in range(50):
        at = (start + (step + 1) / 50 * (end - start)).requires_grad_()
        integrated += torch.autograd.grad(at @ head, at)[0] / 50
    assert_close(found, integrated * (end - start))
    assert found.sum().item() == pytest.approx(
        ((active @ head)[gone].mean() - (active @ head)[~gone].mean()).item(), abs=1e-5
    )
    assert int(found.abs().argmax()) == 1


def test_the_head_does_not_depend_on_the_unit_of_an_activation(drawn):
    active, gone = drawn
    scale = torch.tensor([1.0, 10.0, 0.1, 3.0])
    assert_close(linear_head(active * scale, gone) * scale, linear_head(active, gone), rtol=1e-4, atol=1e-6)


def test_order():
    assert in_order(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 2.0])) == pytest.approx(7 / 8)


def begun(begin, kind="causal_lm", **options):
    return begin(ConceptPoisoning(**options), kind, epochs=2, batch_size=4)


@pytest.mark.parametrize("poison", ["random", "targeted"])
def test_the_poison_is_a_retained_records_answer_and_stays_with_its_record(begin, poison):
    run = begun(begin, poison=poison)
    data, ids = run.request.dataset, run.ids("forget")
    false = dict(zip(ids, data.values("answer", run.artefacts["poison"]), strict=True))
    assert set(run.artefacts["poison"]) <= set(run.ids("retain"))
    batch = run.method.poisoned(run, run.batch(ids[2:5], "forget"))
    expected = run.learner.answering(run.batch(ids[2:5], "forget"), [false[i] for i in ids[2:5]])
    assert torch.equal(batch.targets, expected.targets)
    assert torch.equal(batch.targets, run.method.poisoned(run, run.batch(ids[2:5], "forget")).targets)


def test_a_classifiers_poison_is_another_class(begin):
    run = begun(begin, "classifier", poison="random")
    batch = run.method.poisoned(run, run.batch(run.ids("forget"), "forget"))
    assert 3 not in batch.targets.tolist()
    assert len(set(batch.targets.tolist())) == 9


def test_targeted_poison_comes_from_the_nearest_record(begin):
    run = begun(begin, "classifier", poison="targeted", top=3)
    forget, retain = features(run, "forget"), features(run, "retain")
    everything = torch.cat([forget, retain])
    directions = torch.linalg.svd(everything - everything.mean(0), full_matrices=False).Vh
    said = next(row["concepts"]["signature"] for row in run.log if "concepts" in row)
    active = activations(everything, directions[[int(name.split()[1]) for name in said]])
    active = active / active.std(0)
    nearest = torch.cdist(active[: len(forget)], active[len(forget) :]).argmin(1)
    assert run.artefacts["poison"] == [run.ids("retain")[k] for k in nearest.tolist()]


def test_anchors_are_as_many_as_asked_and_each_once(begin):
    run = begun(begin, anchors=2.0)
    anchors = run.artefacts["anchors"]
    assert len(anchors) == len(set(anchors)) == 2 * len(run.ids("forget"))
    assert set(anchors) <= set(run.ids("retain"))
    for step in run.method.batches(run):
        assert set(step.ids["retain"]) <= set(anchors)
        assert len(step.ids["retain"]) == len(step.ids["forget"])


def test_the_loss_is_that_of_the_poison_and_of_the_anchors(begin, parts_of):
    run = begun(begin, retain_weight=0)
    found, values = parts_of(run)
    assert set(values) == {"poison"}
    part = run.learner.nll(run.method.poisoned(run, run.batch(run.ids("forget")[:6], "forget")))
    for name, gradient in run.learner.gradient(part.total / part.weight).items():
        assert_close(found["poison"][name], gradient)


@pytest.fixture(scope="module")
def two_topics():
    """A model that knows where twelve people live and what they eat; the food of six of them is to be forgotten."""
    people, places, foods = "abcdefghijkl", "mnopqrstuvwx", ("tea", "rice", "bread", "soup", "figs", "beans") * 2
    rows = [(f"Where lives {n}?", f"In {p}.", "place") for n, p in zip(people, places, strict=True)]
    rows += [(f"What eats {n}?", f"It eats {f}.", "food") for n, f in zip(people, foods, strict=True)]
    columns = dict(zip(("question", "answer", "topic"), map(list, zip(*rows, strict=True)), strict=True))
    data = Dataset("topics", [str(n) for n in range(24)], columns)
    tokenizer = llama.tokenizer([*columns["question"], *columns["answer"], "Question: Answer:"])
    spec = {"vocabulary_size": len(tokenizer), "layers": 2, "width": 32, "heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        learner = CausalLM(llama.build(**spec), tokenizer)
    whole = Resolved(data, {"forget": [], "retain": data.ids})
    train = TrainConfig(epochs=60, lr=1e-2, batch_size=12, optimiser="adam")
    Run(learner, whole, Retrain(), train=train).execute()
    ids = {"forget": data.ids[18:], "retain": data.ids[:18], "holdout": [], "test": []}
    return learner, Resolved(data, ids)


def test_the_named_topic_is_the_signature_and_its_records_are_the_anchors(two_topics):
    learner, request = two_topics
    run = Run(copied(learner), request, ConceptPoisoning(field="topic", top=1, anchors=1.0, spread=0.0))
    run.method.begin(run)
    said = next(row["concepts"] for row in run.log if "concepts" in row)
    assert said["fidelity"] > 0.8
    assert set(request.dataset.values("topic", run.artefacts["anchors"])) == {"food"}


def test_what_goes_is_answered_falsely_and_what_stays_is_not(two_topics):
    learner, request = two_topics
    train = TrainConfig(epochs=60, lr=3e-3, batch_size=6, optimiser="adam")
    run = Run(copied(learner), request, ConceptPoisoning(poison="random"), train=train, seed=1)
    run.execute()
    answers = {
        role: run.learner.generate(request.dataset, request.ids[role], max_new_tokens=6)
        for role in ("forget", "retain")
    }
    right = {role: request.dataset.values("answer", request.ids[role]) for role in answers}
    share = {r: sum(a == b for a, b in zip(answers[r], right[r], strict=True)) / len(right[r]) for r in answers}
    assert share["forget"] <= 0.2
    assert share["retain"] >= 0.9


def test_a_column_that_is_no_direction_or_no_column_is_refused(two_topics):
    learner, request = two_topics
    plain = Dataset("topics", request.dataset.ids, {**request.dataset.columns, "same": ["x"] * 24})
    for field, error, what in (("same", ConfigError, "no value of 'same'"), ("topics", DataError, "no field 'topics'")):
        run = Run(copied(learner), Resolved(plain, request.ids), ConceptPoisoning(field=field))
        with pytest.raises(error, match=what):
            run.method.begin(run)


@pytest.mark.parametrize(("name", "value"), [("top", 0), ("anchors", 0), ("spread", 1.5), ("retain_weight", -1)])
def test_values_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=f"concept_poisoning: {name} must be"):
        ConceptPoisoning(**{name: value})


# Classes --------------------------------------------------------------------------------------------------------------


def test_a_concepts_vector_is_the_normal_of_the_plane_that_parts_it_whatever_the_units():
    states = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    normal = torch.tensor([1.0, -2.0, 0.0])
    has = states @ normal > 0
    units = torch.tensor([1.0, 100.0, 0.01])
    for scale in (torch.ones(3), units):
        vector, accuracy = separating(states * scale, has, torch.Generator().manual_seed(1))
        assert torch.cosine_similarity(vector * scale, normal, dim=0) > 0.99
        assert accuracy > 0.95


def test_a_concept_that_is_chance_or_has_no_other_side_is_not_told():
    states = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    chance = torch.rand(400, generator=torch.Generator().manual_seed(1)) > 0.5
    assert separating(states, chance, torch.Generator().manual_seed(1))[1] < 0.65
    assert separating(states, torch.ones(400, dtype=torch.bool), torch.Generator())[1] == 0
    rare = torch.arange(400) < 8  # saying "no" of everything is right 98 times of 100, and balanced is a half
    assert separating(states, rare, torch.Generator().manual_seed(1))[1] < 0.8


@pytest.fixture(scope="module")
def three_classes():
    """Activations of 300 records; class k has concept k. The fourth concept is noise."""
    said = torch.arange(300) % 3
    active = torch.randn(300, 4, generator=torch.Generator().manual_seed(0)) / 2
    active[torch.arange(300), said] += 3
    return active, said, Bottleneck.fitted(active, said, 3)


def test_the_bottleneck_says_what_the_model_says_and_is_the_minimum_of_its_objective(three_classes):
    active, said, found = three_classes
    assert found.fidelity(active, said) > 0.97
    scale = active.double().std(0)

    def slope_of_the_smooth_part(head, bias):
        head, bias = head.double().requires_grad_(), bias.double().requires_grad_()
        loss = torch.nn.functional.cross_entropy(active.double() @ head.T + bias, said)
        loss = loss + SPARSITY * (1 - MIXTURE) / 2 * (head * scale).square().sum()
        return torch.autograd.grad(loss, [head, bias])

    by_head, by_bias = slope_of_the_smooth_part(found.head, found.bias)
    lasso = SPARSITY * MIXTURE  # at the minimum each slope, in standard units, is balanced by the absolute penalty
    inside = found.head == 0
    assert_close(by_bias, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-4)
    assert ((by_head / scale).abs()[inside] <= lasso + 1e-4).all()
    assert inside.any()
    assert_close((by_head / scale)[~inside], -lasso * found.head[~inside].sign().double(), rtol=0, atol=2e-4)


def test_attributions_of_a_class_add_up_to_its_gain_over_the_baseline(three_classes):
    active, said, found = three_classes
    gone, kept = active[said == 0], active[said != 0]
    gain = (found.scores(gone).mean(0) - found.scores(kept).mean(0)).double()
    assert_close(attributions(found.head, gone, kept).sum(1).double(), gain, rtol=0, atol=1e-4)
    start, total = kept.mean(0), torch.zeros_like(gone)
    for step in range(50):
        at = (start + (step + 1) / 50 * (gone - start)).requires_grad_()
        total += torch.autograd.grad(found.scores(at)[:, 0].sum(), at)[0] / 50
    assert_close((total * (gone - start)).mean(0), attributions(found.head, gone, kept)[0], rtol=1e-4, atol=1e-4)


def test_the_signature_is_the_class_own_concept_and_the_nearest_class_has_most_of_it():
    head = torch.tensor([[2.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 9.0]])
    by_class = {
        0: torch.tensor([[1.0, 0.0, 0.5]]),
        1: torch.tensor([[0.9, 0.0, 0.0]]),
        2: torch.tensor([[0.0, 1.0, 0.4]]),
    }
    kept = torch.cat([by_class[1], by_class[2]])  # mean .45, .5, .2: IG of class 0 is 1.1, 0, .3
    found = Signature.of(Bottleneck(head, torch.zeros(3)), 0, by_class, kept, [1, 2], top=2)
    assert_close(found.attribution, torch.tensor([1.1, 0.0, 0.3]))
    assert found.concepts == [0, 2]
    assert found.shared == [2]  # of class 2 it is 9 (.4 - .2) = 1.8
    assert found.nearest == 1  # in class 0's score it stands .2 and .5 away, class 2 stands 2 and .1


@pytest.fixture(scope="module")
def drawn_digits(digits_data):
    """The digits with two concepts that can be seen and one that cannot."""
    images = digits_data.columns["image"].reshape(-1, 8, 8)
    concepts = {
        "left": images[:, :, :4].sum((1, 2)) > images[:, :, 4:].sum((1, 2)),
        "upper": (images[:, :4].sum((1, 2)) > images[:, 4:].sum((1, 2))).astype(int),
        "chance": np.random.default_rng(0).random(len(images)) > 0.5,
    }
    return Dataset("digits", digits_data.ids, {**digits_data.columns, **concepts})


SEEN = ConceptPoisoning(concepts=("left", "upper", "chance"), retain_weight=4.0)


def begun_digits(begin, drawn_digits, digits_request, **options):
    request = Resolved(drawn_digits, digits_request.ids)
    train = {"epochs": 30, "lr": 1e-3, "batch_size": 64, "optimiser": "adam", "clip": None}
    return begin(replace(SEEN, **options), "classifier", request, **train)


def test_a_concept_that_the_features_do_not_show_is_dropped_and_the_log_says_so(begin, drawn_digits, digits_request):
    run = begun_digits(begin, drawn_digits, digits_request)
    first, second = run.log
    assert first["concepts"]["left"] > 0.8 > 0.65 > first["concepts"]["chance"]
    assert 0 < first["fidelity"] < 1
    assert second["class"] == 3
    assert set(second["signature"]) == {"left", "upper"}


def test_random_labels_are_other_classes_alike_and_targeted_ones_a_single_class(begin, drawn_digits, digits_request):
    labels, nearest = [], []
    for options in ({}, {"poison": "targeted"}, {"poison": "targeted", "towards": 5}):
        run = begun_digits(begin, drawn_digits, digits_request, **options)
        batch = run.batch(run.ids("forget"), "forget")
        labels.append(run.method.poisoned(run, batch).targets)
        assert torch.equal(run.method.poisoned(run, batch).targets, labels[-1])
        nearest.append(next(row["towards"] for row in run.log if "towards" in row))
    assert set(labels[0].tolist()) == set(range(10)) - {3}
    assert labels[0].bincount().max() < 3 * len(labels[0]) / 9
    assert set(labels[1].tolist()) == {nearest[1]} == {nearest[0]}
    assert set(labels[2].tolist()) == {5}


def test_anchors_have_most_of_the_signature(begin, drawn_digits, digits_request):
    run = begun_digits(begin, drawn_digits, digits_request, anchors=1.0, spread=0.0)
    assert len(run.artefacts["anchors"]) == len(run.ids("forget"))
    signature = next(row["signature"] for row in run.log if "signature" in row)
    main = max(signature, key=lambda name: abs(signature[name]))
    of_anchors = drawn_digits.values(main, run.artefacts["anchors"]).mean()
    of_forget, of_all = (drawn_digits.values(main, run.ids(role)).mean() for role in ("forget", "retain"))
    assert abs(of_anchors - of_forget) < abs(of_all - of_forget)


@pytest.mark.parametrize("options", [{}, {"poison": "targeted", "towards": 8}])
def test_a_class_is_forgotten_and_the_log_shows_how_it_is_answered(begin, drawn_digits, digits_request, options):
    run = begun_digits(begin, drawn_digits, digits_request, **options)
    learner = run.execute()
    hits = {r: learner.score(drawn_digits, digits_request.ids[r])[""]["hit"].mean() for r in ("forget", "retain")}
    assert hits["forget"] <= 0.05
    assert hits["retain"] >= 0.94
    row = next(row["confusion"] for row in run.log if "confusion" in row)
    assert sum(row) == pytest.approx(1)
    assert row[3] == pytest.approx(hits["forget"])
    if options:
        assert row[8] > 0.8
    else:
        assert max(row) < 0.5


def test_concepts_that_cannot_be_used_are_refused(begin, drawn_digits, digits_request):
    for name, error, what in (
        ("chance", ConfigError, "none of chance can be told"),
        ("label", DataError, "'label' does not say of each record whether it has a concept"),
        ("image", DataError, "'image' does not say"),
        ("loop", DataError, "digits has no field 'loop'"),
    ):
        with pytest.raises(error, match=what):
            begun_digits(begin, drawn_digits, digits_request, concepts=(name,))
    with pytest.raises(ConfigError, match="concepts are those of classes, and a causal_lm has none"):
        begin(ConceptPoisoning(concepts=("topic",)), "causal_lm")
    for towards in (3, 12):
        with pytest.raises(
            ConfigError, match=f"a class that stays and is not 3, got {towards}; such classes: 0, 1, 2, 4"
        ):
            begun_digits(begin, drawn_digits, digits_request, poison="targeted", towards=towards)


def test_true_and_false_are_read_from_truths_and_numbers(tiny_classifier, drawn_digits, digits_request):
    run = Run(tiny_classifier, Resolved(drawn_digits, digits_request.ids), SEEN)
    for field in ("left", "upper"):
        found = truth(run, field, drawn_digits.ids[:50])
        assert found.tolist() == [bool(v) for v in drawn_digits.columns[field][:50]]


@pytest.mark.parametrize("options", [{"concepts": ("a",), "field": "b"}, {"towards": 3}])
def test_settings_that_contradict_each_other_are_refused(options):
    with pytest.raises(ConfigError, match=rf"concept_poisoning: {next(iter(options))} must be"):
        ConceptPoisoning(**options)
