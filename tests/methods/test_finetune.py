"""Fine-tuning: the likelihood of the retain set and nothing else."""

import pytest

from expunge.methods.finetune import Finetune


def test_it_only_reads_the_retain_set_and_its_loss_is_the_likelihood(begin, kind):
    run = begin(Finetune(), kind, steps=5, batch_size=4)
    steps = list(run.method.batches(run))
    assert len(steps) == 5
    assert {role for step in steps for role in step.ids} == {"retain"}


def test_it_raises_what_it_reads(begin, kind):
    run = begin(Finetune(), kind, epochs=5, lr=3e-4)
    before = run.read("retain").mean().item()
    run.execute()
    assert run.read("retain").mean().item() > before


def test_one_epoch_reads_every_retain_record_once(begin):
    run = begin(Finetune(), epochs=1, batch_size=100)
    read = [i for step in run.method.batches(run) for i in step.ids["retain"]]
    assert sorted(read) == sorted(run.ids("retain"))
    assert "forget" not in run.method.card.needs
    assert read != run.ids("retain"), "the order is shuffled"


@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_depends_on_the_seed_alone(begin, seed):
    orders = []
    for _ in range(2):
        run = begin(Finetune(), epochs=1)
        run.seed = seed
        orders.append([step.ids for step in run.method.batches(run)])
    assert orders[0] == orders[1]
