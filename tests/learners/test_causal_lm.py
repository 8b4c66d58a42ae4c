"""A language model reads, scores and answers as transformers does, and only answers are scored."""

import copy

import pytest
import torch
from families import LANGUAGE_MODELS

from expunge.data import Dataset
from expunge.errors import DataError, LearnerError
from expunge.learners import CausalLM, Learner
from expunge.registry import find
from expunge.request import Resolved
from expunge.train import Run


def spelled(learner, tokens):
    return learner.tokenizer.convert_ids_to_tokens(tokens)


@pytest.fixture
def two(questions):
    """A short and a long question and answer."""
    columns = {
        "question": ["What is thing1 like?", "What is thing2 like today today?"],
        "answer": ["red", "old new loud"],
    }
    return Dataset("two", ["a", "b"], columns)


def test_each_target_is_the_token_after_its_place(make, two):
    learner = make("llama")
    batch = learner.collate(two, ["a", "b"])
    assert spelled(learner, batch.targets.tolist()) == ["▁red", "<eos>", "▁old", "▁new", "▁loud", "<eos>"]
    assert batch.owner.tolist() == [0, 0, 1, 1, 1, 1]
    fed = batch.inputs["input_ids"]
    at = [spelled(learner, [fed.flatten()[p].item()])[0] for p in batch.places]
    assert at == ["▁:", "▁red", "▁:", "▁old", "▁new", "▁loud"]
    assert "<eos>" not in spelled(learner, fed[1].tolist())


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_padding_is_told_by_length_even_where_it_is_the_end_token(make, two, name):
    learner = make(name)
    learner.tokenizer = copy.deepcopy(learner.tokenizer)
    learner.tokenizer.pad_token = learner.tokenizer.eos_token
    batch = learner.collate(two, ["a", "b"])
    assert batch.targets.tolist().count(learner.tokenizer.eos_token_id) == 2
    assert batch.positions().tolist() == [2, 4]


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_a_batch_has_the_loss_that_transformers_computes(make, questions, name):
    learner = make(name)
    ids = questions.ids[:7]
    batch = learner.collate(questions, ids)
    width = batch.inputs["input_ids"].shape[1] + 1
    tokens = torch.full((len(ids), width), 0)
    mask, labels = torch.zeros(len(ids), width, dtype=torch.long), torch.full((len(ids), width), -100)
    for row, record in enumerate(ids):
        prompt, [answer], _ = learner._encode(questions, record, "")
        whole = torch.tensor(prompt + answer)
        tokens[row, : len(whole)], mask[row, : len(whole)] = whole, 1
        labels[row, len(prompt) : len(whole)] = whole[len(prompt) :]
    with learner.evaluating():
        part = learner.nll(batch)
        theirs = learner.model(input_ids=tokens, attention_mask=mask, labels=labels).loss
    assert part.weight == (labels >= 0).sum()
    assert part.total / part.weight == pytest.approx(theirs.item(), abs=1e-5)


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_neighbours_in_a_batch_change_nothing(make, questions, name):
    learner = make(name)
    with learner.evaluating():
        together = learner.log_likelihood(learner.collate(questions, questions.ids[:8]))
        alone = [learner.log_likelihood(learner.collate(questions, [i])) for i in questions.ids[:8]]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_shared_prompts_score_as_one_field_after_another(make, questions, name, guarded):
    learner = make(name)
    ids = questions.ids[:10]
    if guarded:
        request = Resolved(questions, {"forget": ids[:3], "retain": ids[3:]})
        Run(learner, request, find("methods", "refuse")()).execute()
    fields = ["answer", "perturbed_answer"]
    fast = learner.score(questions, ids, fields, batch_size=4)
    plain = Learner.score(learner, questions, ids, fields, batch_size=4)
    assert len(fast["perturbed_answer"]["ids"]) == 30
    for field in fields:
        assert fast[field]["ids"] == plain[field]["ids"]
        for key in ("logp", "mean", "var"):
            assert torch.allclose(torch.tensor(fast[field][key]), torch.tensor(plain[field][key]), atol=1e-5)


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_answers_are_those_of_greedy_generation(make, questions, name):
    learner = make(name)
    ids = questions.ids[:6]
    ours = learner.generate(questions, ids, max_new_tokens=8, batch_size=4)
    theirs = []
    for record in ids:
        prompt = torch.tensor([learner._encode(questions, record, "")[0]])
        mask = torch.ones_like(prompt)
        end = {"eos_token_id": learner.tokenizer.eos_token_id, "pad_token_id": learner.tokenizer.eos_token_id}
        learner.model.eval()
        tokens = learner.model.generate(prompt, attention_mask=mask, do_sample=False, max_new_tokens=8, **end)
        theirs.append(learner.tokenizer.decode(tokens[0, prompt.shape[1] :], skip_special_tokens=True).strip())
    assert ours == theirs
    assert any(ours)


def test_a_chat_template_frames_the_question(make, two):
    learner = make("llama")
    reader = copy.deepcopy(learner.tokenizer)
    reader.chat_template = (
        "{% for m in messages %}red {{ m['content'] }}{% endfor %}{% if add_generation_prompt %} new{% endif %}"
    )
    chat = CausalLM(learner.model, reader)
    assert chat.template == "chat"
    assert chat.prompt("What?") == "red What? new"
    batch = chat.collate(two, ["a"])
    assert spelled(chat, batch.inputs["input_ids"][0].tolist())[-2:] == ["▁new", "▁red"]
    with pytest.raises(LearnerError, match="no chat template"):
        CausalLM(learner.model, learner.tokenizer, template="chat")


def test_features_are_the_states_that_predict_the_first_answer_token(make, two):
    learner = make("llama")
    with learner.evaluating():
        batch = learner.collate(two, ["a", "b"])
        last = learner.features(batch, layer=2)
        first = learner.states(batch)[[0, 2]]
    assert torch.allclose(last, first, atol=1e-6)


def test_a_frozen_head_keeps_what_the_head_was(make, two):
    learner = make("tied")
    batch = learner.collate(two, ["a", "b"])
    with learner.evaluating():
        head, states, before = learner.frozen_head(), learner.states(batch), learner.logits(batch)
        learner.model.lm_head.weight += 1
        assert torch.equal(head(states), before)
        assert not torch.allclose(learner.head(states), before)


def test_the_tokenizer_of_another_model_is_refused(make):
    learner = make("llama")
    reader = copy.deepcopy(learner.tokenizer)
    reader.add_tokens([f"more{n}" for n in range(5)])
    with pytest.raises(LearnerError, match=r"tokenizer has \d+ tokens, the model \d+ embeddings") as error:
        CausalLM(learner.model, reader)
    assert "another model" in error.value.hint


def test_a_tokenizer_without_an_end_is_refused(make):
    learner = make("llama")
    reader = copy.deepcopy(learner.tokenizer)
    reader.eos_token = None
    with pytest.raises(LearnerError, match="no end-of-sequence token"):
        CausalLM(learner.model, reader)


def test_cut_answers_are_counted_and_refused_above_five_percent(make, questions):
    learner = make("llama")
    whole = learner.collate(questions, questions.ids)
    assert whole.targets.tolist().count(learner.tokenizer.eos_token_id) == len(questions)
    short = CausalLM(learner.model, learner.tokenizer, max_length=13)
    cut = sum(short._encode(questions, i, "")[2] for i in questions.ids)
    assert cut > 0.05 * len(questions)
    with pytest.raises(LearnerError, match=rf"{cut} of 36 answers are cut off by max_length 13"):
        short.check(questions, questions.ids)
    few = [i for i in questions.ids if not short._encode(questions, i, "")[2]]
    long = next(i for i in questions.ids if i not in few)
    short.check(questions, [*few, long][-21:] if len(few) >= 20 else few)


def test_a_run_refuses_cut_answers_before_anything_changes(make, questions):
    learner = make("llama")
    short = CausalLM(learner.model, learner.tokenizer, max_length=13)
    before = short.hash()
    request = Resolved(questions, {"forget": questions.ids[:6], "retain": questions.ids[6:]})
    with pytest.raises(LearnerError, match="cut off"):
        Run(short, request, find("methods", "grad_diff")()).execute()
    assert short.hash() == before


@pytest.mark.parametrize("answer", ["", "  ", None, [], ["red", ""]])
def test_an_empty_answer_is_refused_by_name(make, answer):
    data = Dataset("bad", ["a", "b"], {"question": ["What?", "Who?"], "answer": ["red", answer]})
    with pytest.raises(DataError, match="record 'b' has an empty 'answer'"):
        make("llama").check(data, data.ids)


def test_a_missing_field_is_refused_with_the_nearest(make):
    data = Dataset("bad", ["a"], {"question": ["What?"], "anwser": ["red"]})
    with pytest.raises(DataError, match="no field 'answer'") as error:
        make("llama").check(data, data.ids)
    assert "anwser" in error.value.hint
