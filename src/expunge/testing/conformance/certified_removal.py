"""Certified removal from a regularised logistic model: one Newton step, and a bound on what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from expunge.testing.conformance._cases import digits
from expunge.testing.conformance._suite import Suite, invariant

PAPER = "arXiv:1911.03030"
LAM, SIGMA, REMOVALS = 0.01, 1.0, 100
Remove = Callable[..., tuple[Any, float]]


@invariant(
    f"After each of {REMOVALS} removals, hardest row first, the perturbed loss's gradient is at most as long as "
    "the sum of the bounds.",
    source=f"{PAPER}, theorem 1; a Hessian that is kept from training voids every bound",
)
def the_bound_holds(remove: Remove) -> tuple[bool, str]:
    spent = worst = 0.0
    for x, y, w, b, bound in _hardest_first(remove):
        spent += bound
        worst = max(worst, float(np.linalg.norm(gradient(x, y, w, b))) / spent)
    return worst <= 1, f"at most {worst:.3f} of the bound"


@invariant(
    f"After {REMOVALS} removals the weights are nearer to a refit's than a tenth of the distance at first.",
    source=f"{PAPER}, the step's sign and scale",
)
def the_step_goes_to_the_refit(remove: Remove) -> tuple[bool, str]:
    first = _trained()[3]
    *_, (x, y, w, b, _) = _hardest_first(remove)
    refit = fitted(x, y, b, start=w)
    before, after = (float(np.linalg.norm(v - refit)) for v in (first, w))
    return after < 0.1 * before, f"{before:.3g} before, {after:.3g} after"


@invariant("Removing 20 rows at once leaves a residual within its own bound.", source=f"{PAPER}, batch removal")
def a_batch_is_bounded(remove: Remove) -> tuple[bool, str]:
    x, y, b, w = _trained()
    rows = np.arange(20)
    new, bound = _removed(remove, x, y, w, rows, b)
    left = float(np.linalg.norm(gradient(x[20:], y[20:], new, b)))
    return left <= bound, f"{left:.3g}, bound {bound:.3g}"


def gradient(x: np.ndarray, y: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the gradient [d] of Σ log(1 + exp(−y w·x)) + λ n/2 ‖w‖² + b·w."""
    found: np.ndarray = x.T @ (-y / (1 + np.exp(y * (x @ w)))) + LAM * len(x) * w + b
    return found


def fitted(x: np.ndarray, y: np.ndarray, b: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the minimum [d], to a gradient of 1e-10, by Newton's method."""
    w = start
    for _ in range(50):
        slope = gradient(x, y, w, b)
        if np.linalg.norm(slope) < 1e-10:
            break
        s = 1 / (1 + np.exp(-(x @ w)))
        w = w - np.linalg.solve(x.T @ (x * (s * (1 - s))[:, None]) + LAM * len(x) * np.eye(len(w)), slope)
    return w


def _hardest_first(remove: Remove) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]]:
    """Remove the row of the largest loss again and again; yield rows, labels, weights, b and the bound each time."""
    x, y, b, w = _trained()
    for _ in range(REMOVALS):
        row = int(np.argmin(y * (x @ w)))
        w, bound = _removed(remove, x, y, w, np.array([row]), b)
        x, y = np.delete(x, row, axis=0), np.delete(y, row)
        yield x, y, w, b, bound


def _removed(
    remove: Remove, x: np.ndarray, y: np.ndarray, w: np.ndarray, rows: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, float]:
    new, bound = remove(x.copy(), y.copy(), w.copy(), rows, lam=LAM, b=b.copy())
    return np.asarray(new, dtype=float), float(bound)


@cache
def _trained() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Threes against others of the retain set: unit rows with a constant, labels ±1, the noise b and the minimum."""
    case = digits()
    pixels = np.concatenate([case.forget[0].numpy(), case.retain[0].numpy()[: len(case.forget[0])]]).astype(float)
    x = np.c_[pixels, np.ones(len(pixels))]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = np.repeat([1.0, -1.0], len(case.forget[0]))
    order = np.random.default_rng(0).permutation(len(x))
    b = SIGMA * np.random.default_rng(1).standard_normal(x.shape[1])
    x, y = x[order], y[order]
    return x, y, b, fitted(x, y, b, np.zeros(x.shape[1]))


SUITE = Suite(
    title="Certified removal",
    source=PAPER,
    form="remove(x: [n, d] unit rows, y: [n] of ±1, w: [d], rows: [m] of those to go, *, lam: float, b: [d])"
    " -> (w: [d], bound of this removal); loss Σ log(1 + exp(−y w·x)) + lam n/2 ‖w‖² + b·w",
    invariants=(the_bound_holds, the_step_goes_to_the_refit, a_batch_is_bounded),
)
