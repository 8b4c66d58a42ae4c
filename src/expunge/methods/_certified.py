"""The mathematics of certified removal: convex heads with a random linear term, Newton steps, what a step leaves.

    L_b(w; S) = Σ_{i in S} l(w·x_i, y_i) + (λ n / 2) ‖w‖² + b·w,   n = |S|: sums, not means, in every function here

Everything is in fp64. Dimension letters: N rows, D features, K columns (one a class, or a target).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

Calibration = Literal["analytic", "paper"]
SHARP = 1 / (6 * math.sqrt(3))
"""Largest absolute slope of the logistic loss's second derivative."""
LIPSCHITZ = 1 / 4
"""What the paper takes for it."""
SMALL = 1e-10
"""Gradient norm of a column, in sums, at which a fit is content."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one convex problem, and its loss.

    Args:
        x: Features [N, D]; of unit length for the logistic loss.
        y: [N, K] −1 or 1 for the logistic loss, numbers for the squared one.
        l2: λ, > 0, of a mean loss: the sum over n rows has λ n.
        squared: (w·x − y)² / 2 in place of log(1 + exp(−y w·x)).
    """

    x: Tensor
    y: Tensor
    l2: float
    squared: bool = False

    def __len__(self) -> int:
        return len(self.x)

    def digest(self) -> str:
        """Return a SHA-256 of the numbers, hex."""
        found = hashlib.sha256(self.x.contiguous().numpy().tobytes())
        found.update(self.y.contiguous().numpy().tobytes())
        return found.hexdigest()

    def loss(self, w_KD: Float[Tensor, "K D"]) -> Float[Tensor, " K"]:
        """Return L_0 of each column."""
        z_NK = self.x @ w_KD.T
        each_NK = (z_NK - self.y).square() / 2 if self.squared else softplus(-self.y * z_NK)
        return each_NK.sum(0) + self.l2 * len(self) / 2 * w_KD.square().sum(1)

    def gradient(self, w_KD: Float[Tensor, "K D"]) -> Float[Tensor, "K D"]:
        """Return ∇L_0 of each column."""
        z_NK = self.x @ w_KD.T
        slope_NK = z_NK - self.y if self.squared else -self.y * torch.sigmoid(-self.y * z_NK)
        return slope_NK.T @ self.x + self.l2 * len(self) * w_KD

    def hessian(self, w_D: Float[Tensor, " D"]) -> Float[Tensor, "D D"]:
        """Return ∇²L_0 of one column; the logistic loss bends alike for either sign of y."""
        p_N = torch.sigmoid(self.x @ w_D)
        bend_N = torch.ones_like(p_N) if self.squared else p_N * (1 - p_N)
        return self._weighed(bend_N) + self.l2 * len(self) * torch.eye(len(w_D), dtype=w_D.dtype)

    def twist(self, w_D: Float[Tensor, " D"], v_D: Float[Tensor, " D"]) -> Float[Tensor, "D D"]:
        """Return the derivative of `hessian` along v."""
        p_N = torch.sigmoid(self.x @ w_D)
        bend_N = torch.zeros_like(p_N) if self.squared else p_N * (1 - p_N) * (1 - 2 * p_N)
        return self._weighed(bend_N * (self.x @ v_D))

    def spectral_norm(self) -> float:
        """Return ‖X‖₂, exactly: the root of the Gram matrix's largest eigenvalue."""
        return math.sqrt(torch.linalg.eigvalsh(self.x.T @ self.x)[-1].clamp_min(0).item())

    def _weighed(self, bend_N: Tensor) -> Tensor:
        return (self.x * bend_N[:, None]).T @ self.x


def with_unit_length(x_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
    """Return each row divided by its own length, which no other row has a part in."""
    return x_ND / x_ND.norm(dim=1, keepdim=True).clamp_min(1e-300)


def fit(rows: Rows, secret_KD: Float[Tensor, "K D"], iterations: int = 100) -> Float[Tensor, "K D"]:
    """Return the minimum of L_b in each column, by Newton steps that are halved until the loss falls."""
    found = []
    for k in range(len(secret_KD)):
        column = Rows(rows.x, rows.y[:, k : k + 1], rows.l2, rows.squared)
        b_1D = secret_KD[k : k + 1]
        w_1D = torch.zeros_like(b_1D)
        for _ in range(iterations):
            gradient_1D = column.gradient(w_1D) + b_1D
            if gradient_1D.norm() <= SMALL:
                break
            step_1D = _solved(column.hessian(w_1D[0]), gradient_1D[0])[None]
            here = column.loss(w_1D) + (b_1D * w_1D).sum()
            scale = 1.0
            while scale > 1e-6:
                there_1D = w_1D - scale * step_1D
                if column.loss(there_1D) + (b_1D * there_1D).sum() <= here * (1 + 1e-14 * here.sign()):
                    break
                scale /= 2
            w_1D = w_1D - scale * step_1D
        found.append(w_1D[0])
    return torch.stack(found)


def newton_step(left: Rows, pull_KD: Float[Tensor, "K D"], w_KD: Float[Tensor, "K D"]) -> Float[Tensor, "K D"]:
    """Return v = H⁻¹ pull, H the Hessian over the rows that are left, at the weights as they are now."""
    return torch.stack([_solved(left.hessian(w_D), pull_D) for w_D, pull_D in zip(w_KD, pull_KD, strict=True)])


def bounds(left: Rows, v_KD: Float[Tensor, "K D"], removed: int, secret_KD: Float[Tensor, "K D"]) -> dict[str, Tensor]:
    """Bound what one step adds to ∇L_b of each column [K] over the rows that are left, in sums; 0 for the squared loss.

        sharp           (1/6√3 / 2) ‖X‖₂ ‖(X v)²‖₂
        data_dependent  1/4 ‖X‖₂ ‖v‖ ‖X v‖                      for rows no longer than 1
        worst           1/4 (2 + ‖b‖/n)² m² / (λ² (n − m))      likewise

    Args:
        left: The n − m rows that stay.
        v_KD: The step.
        removed: m.
        secret_KD: b.
    """
    if left.squared:
        return {name: v_KD.new_zeros(len(v_KD)) for name in ("sharp", "data_dependent", "worst")}
    xv_NK, norm, n = left.x @ v_KD.T, left.spectral_norm(), len(left) + removed
    pull_K = 2 + secret_KD.norm(dim=1) / n
    return {
        "sharp": SHARP / 2 * norm * xv_NK.square().norm(dim=0),
        "data_dependent": LIPSCHITZ * norm * v_KD.norm(dim=1) * xv_NK.norm(dim=0),
        "worst": LIPSCHITZ * pull_K.square() * removed**2 / (left.l2**2 * len(left)),
    }


def jacobian_gap(before: Rows, left: Rows, w_KD: Float[Tensor, "K D"], v_KD: Float[Tensor, "K D"]) -> float:
    """Return what a step v from w adds to Σ_columns log|det(∂(−∇L_0(w; D'))/∂b)|, nats.

    The density of the weights has this factor beside the shift of b that the certificate masks. The factors of
    consecutive steps add up.
    """
    total = 0.0
    for w_D, v_D in zip(w_KD, v_KD, strict=True):
        moved = _logdet(before.hessian(w_D) - left.twist(w_D, v_D)) - _logdet(before.hessian(w_D))
        total += moved + _logdet(left.hessian(w_D + v_D)) - _logdet(left.hessian(w_D))
    return total


def budget(sigma: float, epsilon: float, delta: float, calibration: Calibration) -> float:
    """Return the largest ‖residual‖, in sums, that b ~ N(0, σ² 1) masks as (ε, δ) asks; 0 for σ 0.

    paper:     σ ε / √(2 ln(1.5 / δ))
    analytic:  the largest β with Φ(β/2σ − εσ/β) − e^ε Φ(−β/2σ − εσ/β) ≤ δ, which is exact
    """
    if calibration == "paper":
        return sigma * epsilon / math.sqrt(2 * math.log(1.5 / delta))
    from scipy.optimize import brentq
    from scipy.special import log_ndtr, ndtr

    def excess(log_ratio: float) -> float:
        ratio = math.exp(log_ratio)  # β / σ
        return float(
            ndtr(ratio / 2 - epsilon / ratio) - math.exp(epsilon + log_ndtr(-ratio / 2 - epsilon / ratio)) - delta
        )

    return sigma * math.exp(brentq(excess, -40.0, 20.0, xtol=1e-13))


def _solved(matrix_DD: Tensor, vector_D: Tensor) -> Tensor:
    return torch.cholesky_solve(vector_D[:, None], torch.linalg.cholesky(matrix_DD))[:, 0]


def _logdet(matrix_DD: Tensor) -> float:
    return float(torch.linalg.slogdet(matrix_DD).logabsdet)
