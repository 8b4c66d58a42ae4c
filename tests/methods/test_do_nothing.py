"""Do nothing: bit-identical, at no step."""

from expunge.methods.do_nothing import DoNothing


def test_the_model_stays_what_it_was_to_the_last_bit(begin, kind):
    run = begin(DoNothing(), kind)
    before = run.learner.hash()
    assert run.execute().hash() == before
    assert run.cost.steps == 0
