"""Stored answers made by hand."""

import numpy as np

from expunge.metrics import Block


def answers(ids, losses, **extras):
    """One scored position a row, at the given losses."""
    return spelled(ids, [[-loss] for loss in losses], **extras)


def spelled(ids, logps, **extras):
    """Rows of several scored positions."""
    logp = np.array([v for row in logps for v in row])
    zeros = np.zeros(len(logp))
    return Block(
        ids=list(ids), offsets=np.cumsum([0, *map(len, logps)]), logp=logp, hit=zeros > 0, mean=zeros, var=zeros,
        extras={name: np.array(values) for name, values in extras.items()},
    )  # fmt: skip


def classified(ids, probabilities, targets):
    """A classifier's answers."""
    p = np.array(probabilities, dtype=float)
    targets = np.array(targets)
    with np.errstate(divide="ignore"):
        log_probs = np.log(p)
    block = answers(ids, -log_probs[np.arange(len(p)), targets], log_probs=log_probs, target=targets)
    block.hit[:] = p.argmax(1) == targets
    return block
