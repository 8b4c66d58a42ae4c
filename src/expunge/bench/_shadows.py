"""U-LiRA beside a bench: shadow models, trained once for all methods, unlearned by each, attacked one by one."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from expunge import api, pages
from expunge.auditing.shadow import shadow_requests
from expunge.bench._suite import Entry, Part
from expunge.errors import ConfigError, ExpungeError, UntestedLearnerWarning
from expunge.learners import Learner, load
from expunge.metrics import Block
from expunge.metrics.u_lira import confidence, left_out_ratios, per_example_accuracy
from expunge.pages.stated import Interval
from expunge.recipe import Job, one_thread, train_missing
from expunge.request import Resolved

FIRST_SEED = 10_000
"""Seed of the first shadow model, clear of those of originals, references and runs."""
LOW_FPR = 0.01
REPLICATES = 2000


def shadowed(
    part: Part, *, count: int, workers: int, cache: Path, talk: Callable[[str], None]
) -> dict[str, pages.Shadowed]:
    """Return U-LiRA against each row's method, by label.

    Half of the shadow models learn and then unlearn a record, the other half never see it and unlearn others. Every
    model is attacked with Gaussians of the others. What a shadow model learns does not depend on the method, so it is
    trained once for all rows.

    Args:
        part: The request and its rows.
        count: Shadow models, even, ≥ 4.
        workers: Processes, one thread each.
        cache: Of shadow models, and of what they say after unlearning.
        talk: Told what is going on.

    Raises:
        ConfigError: An odd or too small count, or how the original was trained is not known.
    """
    trained, request = part.recipe.train_recipe(), part.recipe.resolve()
    if trained is None:
        raise ConfigError(f"{part.name}: shadow models need to know how the original was trained")
    pool = pool_of(request)
    drawn = shadow_requests(request, pool, count=count)
    seeds = range(FIRST_SEED, FIRST_SEED + count)
    learned, kept = (
        [
            Job(replace(trained, records=ids), r.dataset, (), n)
            for n, r in zip(seeds, drawn, strict=True)
            for ids in [w(r)]
        ]
        for w in (_learned, _kept)
    )

    def told(done: int, total: int) -> None:
        if total:
            talk(f"{part.name}: shadow models: {done} of {total} trained")

    exact = any(_exact(e) for e in part.entries)
    folders = train_missing([*learned, *(kept if exact else [])], cache=cache, workers=workers, progress=told)
    worlds = [
        World(request=r, pool=pool, learned=folders[n], kept=folders[count + n] if exact else None, seed=FIRST_SEED + n)
        for n, r in enumerate(drawn)
    ]
    if workers <= 1:
        found = [w.unlearned(part, cache) for w in worlds]
        return _rows(part, found, [set(r.ids["forget"]) for r in drawn], pool)
    found = [{} for _ in worlds]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max(1, min(workers, count)), mp_context=context, initializer=one_thread) as processes:
        running = {processes.submit(w.unlearned, part, cache): n for n, w in enumerate(worlds)}
        for done, future in enumerate(as_completed(running), 1):
            found[running[future]] = future.result()
            talk(f"{part.name}: shadow models: {done} of {count} unlearned by {len(part.entries)} methods")
    return _rows(part, found, [set(r.ids["forget"]) for r in drawn], pool)


@dataclass(frozen=True, kw_only=True)
class World:
    """One shadow model: what it learned and must unlearn.

    Args:
        request: Of this model: it learned `forget` and `retain`, and unlearns `forget`.
        pool: Records that are attacked.
        learned: Folder of the model that learned all of it.
        kept: Folder of the one that learned `retain` alone.
        seed: Of its runs.
    """

    request: Resolved
    pool: Sequence[str]
    learned: Path
    kept: Path | None
    seed: int

    def unlearned(self, part: Part, cache: Path) -> dict[str, np.ndarray | str]:
        """Return φ of the pool [n] after each row's method, by label; or why that failed."""
        original: Learner = load(self.learned)
        said: dict[str, np.ndarray | str] = {}
        for entry in part.entries:
            file = cache / "shadows" / f"{self._digest(entry, part)}.npy"
            if not file.is_file():
                try:
                    phi = self._phi(
                        load(self.kept) if self.kept and _exact(entry) else self._forget(original, entry, part)
                    )
                except ExpungeError as error:
                    said[entry.label] = str(error)
                    continue
                file.parent.mkdir(parents=True, exist_ok=True)
                staging = file.with_name(f".{file.stem}-{os.getpid()}.npy")
                np.save(staging, phi, allow_pickle=False)
                staging.replace(file)
            said[entry.label] = np.load(file, allow_pickle=False)
        return said

    def _forget(self, original: Learner, entry: Entry, part: Part) -> Learner:
        recipe = entry.over(part.recipe, seed=self.seed, exclude=None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UntestedLearnerWarning)
            done = api.forget(
                original, self.request, method=recipe.built_method(), modifiers=recipe.built_modifiers(),
                train=recipe.config(), stop=recipe.built_stop(), seed=self.seed,
            )  # fmt: skip
        return done.learner

    def _phi(self, learner: Learner) -> np.ndarray:
        reading = learner.score(self.request.dataset, self.pool, batch_size=512)[""]
        return confidence(Block(**reading))

    def _digest(self, entry: Entry, part: Part) -> str:
        facts = asdict(entry.over(part.recipe, seed=self.seed, exclude=None))
        settings = {k: facts[k] for k in ("method", "modifiers", "train", "stop", "seed")}
        whole = [self.learned.name, self.request.digest, self.request.dataset.fingerprint, list(self.pool), settings]
        return hashlib.sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()[:32]


def pool_of(request: Resolved) -> list[str]:
    """Return the forgotten records, and as many unseen ones of the same classes: what shadow models are split over."""
    forget, dataset = request.ids["forget"], request.dataset
    unseen = request.ids.get("holdout") or request.ids["test"]
    if "label" in dataset.columns:
        classes = set(dataset.values("label", forget))
        unseen = [i for i, label in zip(unseen, dataset.values("label", unseen), strict=True) if label in classes]
    return [*forget, *sorted(random.Random(0).sample(unseen, min(len(unseen), len(forget))))]


def _learned(request: Resolved) -> list[str]:
    return [*request.ids["forget"], *request.ids["retain"]]


def _kept(request: Resolved) -> list[str]:
    return list(request.ids["retain"])


def _exact(entry: Entry) -> bool:
    return entry.method == "retrain"


def _rows(
    part: Part, found: Sequence[dict[str, np.ndarray | str]], gone: Sequence[set[str]], pool: Sequence[str]
) -> dict[str, pages.Shadowed]:
    inside_nS = np.array([[i in ids for ids in gone] for i in pool])
    return {e.label: _attacked([f[e.label] for f in found], inside_nS) for e in part.entries}


def _attacked(said: Sequence[np.ndarray | str], inside_nS: np.ndarray) -> pages.Shadowed:
    failed = next((s for s in said if isinstance(s, str)), None)
    if failed is not None:
        return pages.Shadowed(state="failed", note=failed, shadows=len(said))
    phi_nS = np.stack([s for s in said if not isinstance(s, str)], axis=1)
    worlds = np.where(inside_nS, phi_nS, np.nan), np.where(inside_nS, np.nan, phi_nS)
    accuracy_n = per_example_accuracy(*worlds)
    drawn = np.random.default_rng(0).integers(0, len(accuracy_n), (REPLICATES, len(accuracy_n)))
    low, high = np.quantile(accuracy_n[drawn].mean(1), [0.025, 0.975])
    ratio_nS = left_out_ratios(*worlds)
    unseen = np.sort(ratio_nS[~inside_nS])[::-1]
    threshold = unseen[int(LOW_FPR * len(unseen))]
    return pages.Shadowed(
        shadows=phi_nS.shape[1],
        n=len(accuracy_n),
        accuracy=float(accuracy_n.mean()),
        accuracy_interval=Interval(low=float(low), high=float(high)),
        accuracy_p95=float(np.quantile(accuracy_n, 0.95)),
        tpr_at_low_fpr=float((ratio_nS[inside_nS] > threshold).mean()),
    )
