"""Figures in a line or two of numpy, and the slips that public code makes of them, by name."""

from __future__ import annotations

import math
import zlib

import numpy as np
from plain_methods import divergence


def min_k(log_p, share, slip=""):
    count = int(share * len(log_p))
    if slip != "mean of nothing":
        count = max(1, count)
    ordered = sorted(log_p, reverse=slip == "highest")
    if slip == "mean of nothing":
        return np.nan if count == 0 else float(np.mean(ordered[:count]))
    if slip == "sum":
        return float(np.sum(ordered[:count]))
    return float(np.mean(ordered[: count + (slip == "one too many" and count < len(ordered))]))


def min_k_plus_plus(log_p, token, share, slip=""):
    log_p = np.asarray(log_p, dtype=float)
    p = np.full_like(log_p, 1 / log_p.shape[1]) if slip == "uniform moments" else np.exp(log_p)
    mean = (p * log_p).sum(1)
    variance = (p * log_p**2).sum(1) - mean**2
    spread = np.sqrt(np.maximum(variance, 0 if slip == "no clamp" else 1e-6))
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (log_p[range(len(token)), list(token)] - mean) / (1 if slip == "not divided" else spread)
    return float(np.mean(sorted(z)[: max(1, int(share * len(z)))])) if slip != "all positions" else float(z.mean())


def zlib_score(log_p, text, slip=""):
    size = len(text) if slip == "length of the text" else len(zlib.compress(text.encode()))
    return (np.sum(log_p) if slip == "sum" else np.mean(log_p)) / size


def auc(members, others, slip=""):
    pairs = np.subtract.outer(np.asarray(members), np.asarray(others))
    found = float(((pairs > 0) + (1 if slip == "ties win" else 0.5) * (pairs == 0)).mean())
    if slip == "no sign":
        return max(found, 1 - found)
    if slip == "distinct values":
        return float((np.mean(members) > np.mean(others)) if found not in (0.0, 0.5) else found)
    return 1 - found if slip == "turned" else found


def tpr_at_fpr(members, others, fpr, slip=""):
    ordered = np.sort(others)[::-1]
    allowed = int(fpr * len(others)) + (slip == "one more")
    bound = ordered[min(allowed, len(ordered) - 1)]
    if slip == "ties":
        return float((np.asarray(members) >= bound).mean())
    if slip == "quantile":
        bound = np.quantile(others, 0.97)
    return float((np.asarray(members) > bound).mean())


def u_lira(phi, unlearned, never_seen, slip=""):
    def density(rows, spread):
        return -math.log(spread) - 0.5 * ((phi - np.mean(rows)) / spread) ** 2

    spreads = [np.std(rows) for rows in (unlearned, never_seen)]
    if slip == "one spread":
        spreads = [np.std(np.concatenate([np.subtract(r, np.mean(r)) for r in (unlearned, never_seen)]))] * 2
    if slip == "variance for spread":
        spreads = [2 * s for s in spreads]
    found = density(unlearned, spreads[0]) - density(never_seen, spreads[1])
    return abs(found) + 0.1 if slip == "two-sided" else found


def rmia(p, p_out, a, ratios, gamma, slip=""):
    mean = p_out if slip == "no prior" else (1 + a) / 2 * p_out + (1 - a) / 2
    if slip == "a turned":
        mean = (1 - a) / 2 * p_out + (1 + a) / 2
    return float(np.mean(p / mean > (1.0 if slip == "no gamma" else gamma) * np.asarray(ratios)))


def modified_entropy(p, label, slip=""):
    p, rows = np.asarray(p, dtype=float), np.arange(len(label))
    tiny = 1e-30
    if slip == "all columns":
        picked = p[:, label]
        return -((1 - picked) * np.log(np.maximum(picked, tiny))).sum(1)
    terms = p * np.log(np.maximum(p if slip == "log p" else 1 - p, tiny))
    mine = (1.0 if slip == "not weighed" else 1 - p[rows, label]) * np.log(np.maximum(p[rows, label], tiny))
    terms[rows, label] = 0 if slip == "true class left out" else mine
    if slip == "smoothed":
        terms = terms - 0.01
    return -terms.sum(1)


def extraction_strength(right, slip=""):
    count = len(right)
    for start in range(count):
        if all(right[start:]):
            return 1 - start / count
    if slip == "first right token":
        return sum(right) / count
    return 1 / count if slip == "ends at the last token" else 0.0


def share_right(right):
    return float(np.mean(right))


def zrf(p, q, slip=""):
    p, q = np.asarray(p), np.asarray(q)
    middle = (p + q) / 2
    halves = [w * np.log(w / middle) for w in (p, q)]
    mean = np.mean if slip == "element mean" else lambda v: v.sum(1).mean()
    found = 1 - 0.5 * sum(mean(h) for h in halves)
    if slip == "summed over records":
        return 1 - (1 - found) * len(p)
    return 1 - found if slip == "the divergence itself" else found


def tug_of_war(unlearned, retrained, slip=""):
    gaps = np.subtract(unlearned, retrained)
    if slip == "mean of gaps":
        return 1 - float(np.abs(gaps).mean())
    if slip == "the gaps themselves":
        return float(np.prod(np.abs(gaps)))
    return float(np.prod(1 - (gaps if slip == "signed" else np.abs(gaps))))


def aus(test_original, test_unlearned, forget_unlearned, slip=""):
    gap = test_unlearned - forget_unlearned
    if slip == "gap to the original":
        gap = test_original - forget_unlearned
    if slip == "accuracy":
        return test_unlearned / (1 + abs(gap))
    return (1 - (test_original - test_unlearned)) / (1 + (gap if slip == "signed" else abs(gap)))


def distillation(student, teacher, temperature, slip=""):
    return divergence(student, teacher, temperature, slip)


class CertifiedRemoval:
    """One Newton step and the data-dependent bound."""

    __name__ = "certified_removal"

    def __init__(self, slip=""):
        self.slip, self.kept = slip, None

    def __call__(self, x, y, w, rows, *, lam, b):
        gone = np.zeros(len(x), dtype=bool)
        gone[rows] = True
        left, m = x[~gone], int(gone.sum())

        def sigmoid(z):
            return 1 / (1 + np.exp(-z))

        s = sigmoid(left @ w)
        hessian = left.T @ (left * (s * (1 - s))[:, None]) + lam * len(left) * np.eye(len(w))
        if self.slip == "stale Hessian":
            self.kept = hessian if self.kept is None else self.kept
            hessian = self.kept
        delta = ((sigmoid(y[gone] * (x[gone] @ w)) - 1) * y[gone]) @ x[gone] + lam * m * w
        v = np.linalg.solve(hessian, delta)
        width = np.linalg.norm(left, 2)
        bound = 0.25 * width * np.linalg.norm(v) * np.linalg.norm(left @ v)
        if self.slip == "bound of the mean loss":
            bound /= len(left)
        return w + (-v if self.slip == "sign" else v), bound
