"""Expunge's own methods and figures in the form that the suites ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from expunge.config import TrainConfig
from expunge.errors import ConfigError, UntestedLearnerWarning
from expunge.registry import find
from expunge.testing.conformance._suite import suites

ADAM = TrainConfig(epochs=10, lr=1e-3, batch_size=64, optimiser="adam", clip=None)
SGD = TrainConfig(epochs=10, lr=1e-2, batch_size=64, optimiser="sgd", momentum=0.9, clip=None)
TRAINING = {field.name for field in fields(TrainConfig)}
Unlearn = Callable[..., nn.Module]


def own(name: str) -> Callable[..., Any]:
    """Return Expunge's own implementation for a suite. Raises ConfigError where Expunge has none."""
    if name not in OWN:
        hint = (
            f"there is one for {', '.join(sorted(OWN))}" if name in suites() else "`expunge conform` lists the suites"
        )
        raise ConfigError(f"Expunge has no implementation of its own for the suite {name!r}", hint=hint)
    return OWN[name]


def method(name: str, *, train: TrainConfig = ADAM, regression: bool = False, **chosen: Any) -> Unlearn:
    """Return a method as a plain function of networks and tensors; settings go to training or to its fields."""

    def unlearn(
        model: nn.Module, forget: tuple[Tensor, Tensor], retain: tuple[Tensor, Tensor], *, seed: int, **settings: Any
    ) -> nn.Module:
        from expunge.learners import Classifier, Regressor
        from expunge.train import Run, copied

        learner = Regressor(model) if regression else Classifier(model)
        ours = {RENAMED.get((name, key), key): value for key, value in settings.items()}
        config = replace(train, **{k: v for k, v in ours.items() if k in TRAINING})
        idea = find("methods", name)(**(chosen | {k: v for k, v in ours.items() if k not in TRAINING}))
        run = Run(copied(learner), request(forget, retain, learner.target), idea, train=config, seed=seed)
        _execute(run)
        found: nn.Module = run.learner.model
        return found

    return unlearn


def _execute(run: Any) -> None:
    """Run; on what a method was not shown to forget is no matter here."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntestedLearnerWarning)
        run.execute()


def request(forget: tuple[Tensor, Tensor], retain: tuple[Tensor, Tensor], target: str) -> Any:
    """Return tensors as a request."""
    from expunge.data import Dataset
    from expunge.request import Resolved

    x, y = (torch.cat(pair).numpy() for pair in zip(forget, retain, strict=True))
    ids = [f"conformance/{row}" for row in range(len(x))]
    count = len(forget[0])
    data = Dataset("conformance", ids, {"x": x, target: y})
    return Resolved(data, {"forget": ids[:count], "retain": ids[count:]})


def scrub(model: nn.Module, forget: Any, retain: Any, *, seed: int, **settings: Any) -> nn.Module:
    """SCRUB; the nudge off the stationary start belongs to the max passes and goes where they go."""
    nudge = {} if settings.get("msteps", 1) else {"init_nudge": 0.0}
    return method("scrub")(model, forget, retain, seed=seed, **settings, **nudge)


def gu(
    model: nn.Module, forget: Any, retain: Any, *, seed: int, steps: int = 10, lr: float = 0.02, retain_batch: int = 128
) -> nn.Module:
    """Gradient ascent with plain SGD under the modifier GU."""
    from expunge.learners import Classifier
    from expunge.train import Run, copied

    learner = Classifier(model)
    train = TrainConfig(steps=steps, lr=lr, batch_size=64, optimiser="sgd", clip=1.0)
    run = Run(
        copied(learner),
        request(forget, retain, learner.target),
        find("methods", "gradient_ascent")(),
        modifiers=[find("modifiers", "gu")(retain_batch=retain_batch)],
        train=train,
        seed=seed,
    )
    _execute(run)
    found: nn.Module = run.learner.model
    return found


def iau(
    model: nn.Module, forget: Any, retain: Any, *, seed: int, lr: float = 1e-3, optimiser: str = "adam"
) -> nn.Module:
    """IAU; its warning that a step forgot nothing is no matter here."""
    import warnings

    chosen = {"adam": "adam_sign"}.get(optimiser, optimiser)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return method("iau", step=lr, optimiser=chosen)(model, forget, retain, seed=seed)


def certified_removal(x: Any, y: Any, w: Any, rows: Any, *, lam: float, b: Any) -> tuple[np.ndarray, float]:
    """The step of `certified_removal` and the sharpest of its bounds that needs no secret."""
    from expunge.methods._certified import Rows, bounds, newton_step

    x, y, w, b = (torch.as_tensor(v, dtype=torch.float64) for v in (x, y[:, None], w[None], b[None]))
    gone = torch.zeros(len(x), dtype=torch.bool)
    gone[torch.as_tensor(rows)] = True
    left = Rows(x[~gone], y[~gone], lam)
    step = newton_step(left, Rows(x[gone], y[gone], lam).gradient(w), w)
    return (w + step)[0].numpy(), float(bounds(left, step, int(gone.sum()), b)["sharp"][0])


def _block(log_p: Any, **extras: Any) -> Any:
    """Return one row of positions as a stored answer."""
    from expunge.metrics import Block

    log_p = np.asarray(log_p, dtype=float)
    empty = np.zeros(len(log_p))
    return Block(["0"], np.array([0, len(log_p)]), log_p, empty, empty, empty, extras)


def min_k(log_p: Any, share: float) -> float:
    """The metric `min_k` of one text."""
    return float(find("metrics", "min_k")(share=share).scores(_block(log_p), [])[0])


def min_k_plus_plus(log_p: Any, token: Any, share: float) -> float:
    """The metric `min_k_plus_plus` of one text, from what a learner reads of its distributions."""
    log_p = torch.tensor(log_p, dtype=torch.float64)
    p = log_p.exp()
    mean = (p * log_p).sum(1)
    block = _block(log_p[range(len(token)), list(token)])
    rows = replace(block, mean=mean.numpy(), var=((p * log_p.square()).sum(1) - mean.square()).numpy())
    return float(find("metrics", "min_k_plus_plus")(share=share).scores(rows, [])[0])


def zlib_score(log_p: Any, text: str) -> float:
    """The metric `zlib_attack` of one text."""
    import zlib

    block = _block(log_p, zlib=np.array([len(zlib.compress(text.encode()))]))
    return float(find("metrics", "zlib_attack")().scores(block, [])[0])


def auc(members: Any, others: Any) -> float:
    """The statistic of every membership attack."""
    from expunge.metrics._statistics import weighted_auc

    return float(_of_two(weighted_auc, members, others))


def tpr_at_fpr(members: Any, others: Any, fpr: float) -> float:
    """The statistic of `tpr_at_low_fpr`."""
    from functools import partial

    from expunge.metrics._statistics import weighted_tpr

    return float(_of_two(partial(weighted_tpr, fpr=fpr), members, others))


def _of_two(statistic: Callable[..., np.ndarray], members: Any, others: Any) -> Any:
    values = np.concatenate([members, others])
    group = np.repeat([1, 0], [len(members), len(others)])
    return statistic(values, group, np.ones((1, len(values))))[0]


def u_lira(phi: float, unlearned: Any, never_seen: Any) -> float:
    """The score of `u_lira`."""
    from expunge.metrics.u_lira import Gaussians, log_ratio

    inside, outside = (Gaussians.fit(np.array([rows])) for rows in (unlearned, never_seen))
    return float(log_ratio(np.array([phi]), inside, outside)[0])


def rmia(p: float, p_out: float, a: float, ratios: Any, gamma: float) -> float:
    """The score of `rmia`."""
    from expunge.metrics.rmia import dominance, ratio

    return float(dominance(ratio(np.array([p]), np.array([p_out]), a), np.array(ratios), gamma)[0])


def modified_entropy(p: Any, label: Any) -> np.ndarray:
    """The metric `modified_entropy_attack`, whose score is the negative."""
    with np.errstate(divide="ignore"):
        log_p = np.log(np.asarray(p, dtype=float))
    block = _block(np.zeros(len(log_p)), log_probs=log_p, target=np.asarray(label))
    found: np.ndarray = -find("metrics", "modified_entropy_attack")().scores(block, [])
    return found


def extraction_strength(right: Any) -> float:
    """The metric `extraction_strength` of one answer."""
    return float(find("metrics", "extraction_strength")().share(np.asarray(right)))


def tug_of_war(unlearned: Any, retrained: Any) -> float:
    """The statistic of `tug_of_war`."""
    from expunge.metrics.tug_of_war import product_of_closeness

    gaps = np.subtract(unlearned, retrained)
    return float(product_of_closeness(gaps, np.arange(3), np.ones((1, 3)))[0])


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The divergence of SCRUB: T² times a classifier's, averaged over records."""
    from expunge.learners import Classifier

    learner = Classifier(nn.Sequential(nn.Linear(1, student.shape[1])))
    return temperature**2 * learner.divergence(teacher, student, temperature).mean()


RENAMED: Mapping[tuple[str, str], str] = {("scrub", "msteps"): "max_epochs", ("salun", "threshold"): "share"}
OWN: Mapping[str, Callable[..., Any]] = {
    "unlearning": method("finetune"),
    "scrub": scrub,
    "ssd": method("ssd"),
    "gradient_ascent": method("gradient_ascent"),
    "neg_grad_plus": method("neg_grad_plus"),
    "bad_teacher": method("bad_teacher", train=replace(ADAM, epochs=8)),
    "random_labels": method("random_labels"),
    "l1_sparse": method("l1_sparse"),
    "retrain": method("retrain", train=replace(ADAM, lr=3e-3, batch_norm="train")),
    "gu": gu,
    "salun": method("salun"),
    "delete": method("delete", train=replace(SGD, epochs=20)),
    "laf": method("laf", train=replace(ADAM, lr=5e-4), vae_epochs=5),
    "iau": iau,
    "imu": method("imu", train=replace(SGD, lr=1e-3, clip=1.0)),
    "blindspot": method("blindspot", regression=True),
    "certified_removal": certified_removal,
    "min_k": min_k,
    "min_k_plus_plus": min_k_plus_plus,
    "zlib_score": zlib_score,
    "auc": auc,
    "tpr_at_fpr": tpr_at_fpr,
    "u_lira": u_lira,
    "rmia": rmia,
    "modified_entropy": modified_entropy,
    "extraction_strength": extraction_strength,
    "tug_of_war": tug_of_war,
    "distillation": distillation,
}
