"""View models for the page tests: made-up figures, so called; no record of any data set is in them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from expunge.pages import (
    Ancestor,
    ArtefactFate,
    AttackCurve,
    BenchRow,
    BenchView,
    CompareView,
    Cost,
    CostRow,
    Curves,
    Evidence,
    FileEntry,
    Interval,
    LearnerFacts,
    Method,
    Metric,
    NotRun,
    Plane,
    Point,
    Reading,
    Reference,
    Request,
    RunView,
    Score,
    Series,
    Shadowed,
    SweepCell,
    SweepRequest,
    SweepRow,
    SweepView,
    Verdict,
    group,
)

CREATED = datetime(2025, 3, 14, 9, 26, tzinfo=UTC)
WOBBLE = (0.0, 0.9, -1.1, 0.4, -0.3, 1.3, -0.7)
METRICS: list[dict[str, Any]] = [
    {"id": "probability/forget", "label": "Answer probability", "role": "forget", "family": "behaviour",
     "higher_is": "more memorised", "original": 0.912, "centre": 0.118, "floor": 0.011, "n": 400, "clusters": 20},
    {"id": "rouge/forget", "label": "ROUGE-L recall of the answer", "role": "forget", "family": "behaviour",
     "higher_is": "more memorised", "original": 0.874, "centre": 0.391, "floor": 0.014, "n": 400, "clusters": 20},
    {"id": "extraction/forget", "label": "Extraction strength", "role": "forget", "family": "behaviour",
     "higher_is": "more memorised", "original": 0.551, "centre": 0.062, "floor": 0.006, "n": 400, "clusters": 20},
    {"id": "min-k/forget", "label": "Min-K membership attack", "role": "forget", "family": "privacy", "unit": "AUC",
     "higher_is": "easier to tell", "original": 0.981, "centre": 0.512, "floor": 0.018, "n": 800, "clusters": 40},
    {"id": "truth-ratio/forget", "label": "Truth ratio", "role": "forget", "family": "distribution",
     "higher_is": "less memorised", "original": 0.512, "centre": 0.498, "floor": 0.021, "n": 400, "clusters": 20},
    {"id": "rouge/retain", "label": "ROUGE-L recall of the answer", "role": "retain", "family": "utility",
     "higher_is": "more useful", "original": 0.861, "centre": 0.858, "floor": 0.007, "n": 1200, "clusters": 60},
    {"id": "probability/test", "label": "Answer probability on questions never trained on", "role": "test",
     "family": "utility", "higher_is": "more useful", "original": 0.432, "centre": 0.428, "floor": 0.009, "n": 600,
     "clusters": 30},
    {"id": "relearn/forget", "label": "Recall after relearning on 5 % of the set", "role": "forget",
     "family": "attack", "tier": 3, "kind": "e5", "higher_is": "more came back", "original": 0.874,
     "centre": 0.437, "floor": 0.016, "n": 380, "clusters": 19},
]  # fmt: skip
ATTACKS: list[dict[str, Any]] = [
    {"label": "paraphrase", "tier": 1, "kind": "e2", "knob": "wording", "turns": (0, 1, 2), "e": 0.03, "p": 0.41},
    {"label": "sampling", "tier": 1, "kind": "e3", "knob": "temperature", "turns": (0.5, 0.8, 1.0), "e": 0.08,
     "p": 0.2},
    {"label": "rounding (4 bits, own)", "tier": 1, "kind": "e4", "e": 0.36, "p": 0.004},
    {"label": "logit_lens (original head)", "tier": 1, "kind": "e6", "knob": "layer", "turns": tuple(range(1, 13)),
     "e": 0.0, "informative": False},
    {"label": "soft_prompt", "tier": 2, "kind": "e7", "e": 0.21, "p": 0.3},
    {"label": "relearning (forgotten records)", "tier": 3, "kind": "e5", "knob": "steps",
     "turns": (1, 2, 5, 10, 20, 50), "e": 0.71, "p": 0.002},
    {"label": "relearning (retained records)", "tier": 3, "kind": "e5", "knob": "steps",
     "turns": (1, 2, 5, 10, 20, 50), "e": 0.44, "p": 0.004},
]  # fmt: skip


def around(value: float, half: float) -> Interval:
    """Return value ± half."""
    return Interval(low=value - half, high=value + half)


def score(metric: dict[str, Any], e: float, *, seeds: int = 5, half: float = 0.0, **other: Any) -> Score:
    """Return a score whose unlearned value lies at `e` between retrained and original."""
    facts = {key: value for key, value in metric.items() if key not in ("centre", "floor")}
    centre, floor, original = metric["centre"], metric["floor"], metric["original"]
    retrained = [round(centre + floor * WOBBLE[i], 4) for i in range(seeds)]
    middle = sum(retrained) / len(retrained) if retrained else centre
    gap = original - middle if metric["family"] != "utility" else -middle
    informative = metric["family"] == "utility" or abs(original - centre) >= 3 * floor
    value, half = middle + e * gap, half or 1.6 * floor
    margin = 3 * floor
    against = "inside" if abs(value - middle) + half <= margin else "outside"
    against = "undecided" if against == "outside" and abs(value - middle) - half < margin else against
    base: dict[str, Any] = {
        **facts,
        "original_interval": around(original, 1.5 * floor),
        "unlearned": value,
        "interval": around(value, half),
    }
    if seeds:
        base |= {"retrained": retrained, "noise_floor": floor, "margin": around(middle, margin), "e": e}
        base |= {"e_interval": around(e, abs(half / gap)), "informative": informative, "against_margin": against}
        if not informative:
            base |= {"state": "not-informative", "e": None, "e_interval": None, "against_margin": None}
    else:
        base |= {"state": "no-reference"}
    return Score(**{**base, **other})


def attack(made: dict[str, Any], *, seeds: int = 5) -> Score:
    """Return an attack's score and, where it turns a knob, its curve: what comes back rises and falls again."""
    facts = dict(made)
    knob, turns, e = facts.pop("knob", ""), facts.pop("turns", ()), facts.pop("e")
    name = f"{facts['label']}, {knob} {turns[len(turns) // 2]:g}" if turns else facts["label"]
    told = facts.get("informative", True)
    metric = {**METRICS[7], "unit": "probability", "id": name, **{k: facts.pop(k) for k in ("label", "tier", "kind")}}
    metric |= {"centre": 0.11, "original": 0.874} if told else {"centre": 0.86}
    found = score(metric, e, seeds=seeds, half=0.05, **facts)
    if not turns:
        return found.model_copy(update={"fired": e > 0.3})
    middle = len(turns) // 2
    share = [1 - 0.3 * abs(k - middle) for k in range(len(turns))] if len(turns) < 8 else [1.0] * len(turns)
    base = sum(found.retrained) / seeds
    curve = AttackCurve(
        knob=knob,
        turns=list(turns),
        at=turns[middle],
        unlearned=[base + s * (found.unlearned - base) for s in share],
        original=[found.original * (1 - 0.02 * abs(k - middle)) for k in range(len(turns))],
        retrained=[[value * (1 - 0.1 * abs(k - middle)) for k in range(len(turns))] for value in found.retrained],
    )
    return found.model_copy(update={"fired": e > 0.3 if told else None, "curve": curve})


def plane(e_forget: float, e_utility: float, *, seeds: int = 5, label: str = "unlearned") -> Plane:
    """Return a plane with the trivial baselines."""
    return Plane(
        state="ok" if seeds >= 5 else "too-few",
        known=None if seeds >= 5 else seeds,
        needed=None if seeds >= 5 else 5,
        forget_axis="mean of three behaviour scores and one membership attack on the forget set",
        utility_axis="mean of two utility scores",
        unlearned=[
            Point(label=label, e_forget=e_forget, e_utility=e_utility, e_forget_interval=around(e_forget, 0.045),
                  e_utility_interval=around(e_utility, 0.03)),
        ],
        retrained=[
            Point(label=f"seed {i + 1}", e_forget=0.014 * WOBBLE[i], e_utility=0.011 * WOBBLE[-i - 1])
            for i in range(seeds)
        ],
        original=Point(label="original", e_forget=1.0, e_utility=-0.01),
        baselines=[
            Point(label="do nothing", e_forget=1.0, e_utility=-0.01),
            Point(label="filter at inference", e_forget=0.21, e_utility=0.02),
            Point(label="fine-tune on retain", e_forget=0.83, e_utility=-0.03),
        ],
    )  # fmt: skip


def curves(stop: int = 160) -> Curves:
    """Return four series of 200 steps."""
    steps = list(range(0, 201, 2))
    return Curves(
        series=[
            Series(name="forget part", unit="nats", steps=steps, values=[2.4 * math.exp(-s / 45) + 0.1 for s in steps]),
            Series(name="retain part", unit="nats", steps=steps,
                   values=[0.31 + 0.05 * math.sin(s / 9) * math.exp(-s / 90) for s in steps]),
            Series(name="e forget, on the watch set", steps=steps[::10],
                   values=[math.exp(-s / 38) if s != 60 else None for s in steps[::10]]),
            Series(name="e utility, on the watch set", steps=steps[::10], values=[0.0004 * s for s in steps[::10]]),
        ],
        stop=stop,
        stop_reason="the last step at which e utility was under 0.05",
    )  # fmt: skip


def cost() -> Cost:
    """Return a measured cost."""
    return Cost(
        rows=[
            CostRow(name="unlearning", wall_seconds=184.2, cpu_seconds=351.0, peak_memory_bytes=2_306_867_200),
            CostRow(name="audit", wall_seconds=412.7, cpu_seconds=790.3, peak_memory_bytes=1_845_493_760),
            CostRow(name="one retraining", wall_seconds=4012.0, cpu_seconds=7800.0, peak_memory_bytes=3_006_477_107),
        ],
        fraction_of_retraining=184.2 / 4012.0,
        machine="2 CPU cores, 8 GiB",
    )


def run(title: str = "NPO on twenty authors", **changes: Any) -> RunView:
    """Return a run that passes, with any fields changed."""
    es = [0.012, -0.008, 0.004, 0.02, 0.0, 0.006, 0.004, 0.014]
    base: dict[str, Any] = {
        "title": title,
        "created": CREATED,
        "versions": {"expunge": "0.1.0", "torch": "2.6.0", "transformers": "5.0.0", "python": "3.11.9"},
        "seed": 7,
        "method": Method(name="npo", title="Negative Preference Optimization", year=2024, source="arXiv:2404.05868",
                         aim="suppression", fields={"beta": 0.1, "retain_weight": 1.0, "layers": ["all"]}),
        "learner": LearnerFacts(kind="causal_lm", parameters=12_584_960),
        "request": Request(name="twenty authors", digest="sha256:" + "9f2c4b7d" * 8, reason="erasure request 118",
                           counts={"forget": 400, "retain": 3600, "holdout": 400, "test": 600},
                           forget_ids=[f"tofu-{i:05d}" for i in range(12)]),
        "reference": Reference(kind="retrained", seeds=[1, 2, 3, 4, 5]),
        "verdict": Verdict(
            slug="removal",
            sentence="Every informative score lies inside its margin round five retrained models, attacks included.",
            reasons=["Utility on the retain and test sets is that of retrained models."],
            deciding=[Evidence(sentence="Relearning brings back no more than it does from a retrained model.",
                               score="relearn/forget"),
                      Evidence(sentence="A membership attack does no better than on a retrained model.",
                               score="min-k/forget")],
            tested_up_to_tier=2,
            tier_means="the weights may be fine-tuned on a few records",
        ),
        "scores": [score(metric, e) for metric, e in zip(METRICS, es, strict=True)],
        "plane": plane(0.007, 0.005),
        "curves": curves(),
        "cost": cost(),
        "not_run": [
            NotRun(name="head swap", reason="a language model has no task head to swap", tier=3),
            NotRun(name="relearning on half of the set", reason="over the time limit of this audit", tier=3,
                   command="expunge audit runs/npo-7 --attacks relearn --attack.share 0.5"),
        ],
        "lineage": [Ancestor(role="original", name="gpt2-small-authors", digest="sha256:" + "ab12cd34" * 8),
                    Ancestor(role="unlearned", name="model", digest="sha256:" + "77e1f00d" * 8)],
        "artefacts": [ArtefactFate(name="stored reference log-likelihoods", fate="purged", bytes=1600),
                      ArtefactFate(name="optimiser moments", fate="purged", bytes=100_679_680)],
        "purge_statement": "Everything that this run derived from the forget set was purged.",
        "files": [FileEntry(path="model/model.safetensors", bytes=50_339_840, digest="sha256:" + "77e1f00d" * 8),
                  FileEntry(path="audit.json", bytes=48_112)],
        "rerun": "expunge forget runs/npo-7/config.yaml seed=7",
    }  # fmt: skip
    return RunView(**{**base, **changes})


def good() -> RunView:
    """A run that passes."""
    return run()


def bad() -> RunView:
    """A run that left the knowledge in, read against three seeds only."""
    es = [0.61, 0.52, 0.47, 0.71, 0.0, 0.01, 0.004, 0.78]
    return run(
        "Fine-tuning on the retain set",
        verdict=Verdict(
            slug="not-forgotten",
            sentence="A membership attack still tells the forget set apart, and most answers can still be extracted.",
            deciding=[Evidence(sentence="The attack finds the forget set as it does before unlearning.",
                               score="min-k/forget")],
            flags=["low-power"],
            tested_up_to_tier=1,
        ),
        scores=[score(metric, e, seeds=3) for metric, e in zip(METRICS, es, strict=True)],
        plane=plane(0.58, 0.01, seeds=3),
        reference=Reference(kind="retrained", seeds=[1, 2, 3]),
    )  # fmt: skip


def destroyed() -> RunView:
    """A run that forgot everything."""
    es = [-0.14, -0.72, -0.11, -0.06, 0.0, 0.91, 0.86, -0.5]
    return run(
        "Gradient ascent without a brake",
        verdict=Verdict(
            slug="destroyed",
            sentence="The model no longer answers anything: it has lost nine tenths of its utility.",
            deciding=[Evidence(sentence="Recall on the retain set is near chance.", score="rouge/retain")],
            flags=["over-forgotten", "collateral"],
        ),
        scores=[score(metric, e) for metric, e in zip(METRICS, es, strict=True)],
        plane=plane(-0.26, 0.89),
    )  # fmt: skip


def attacked(seeds: int = 5) -> RunView:
    """A run that shows nothing by itself, and gives the knowledge back to whoever holds the weights."""
    scores = [score(metric, 0.01, seeds=seeds) for metric in METRICS[:7]]
    return run(
        "NPO, attacked",
        verdict=Verdict(
            slug="latent",
            sentence="The model does not show the forgotten records, but they were brought back from its weights.",
            deciding=[
                Evidence(sentence="Relearning (relearning (forgotten records)): e = 0.71 [0.64, 0.78], above "
                         "retraining (placebo p = 0.002).", score="relearning (forgotten records), steps 10"),
                Evidence(sentence="Rounding the weights to 4 bits (rounding (4 bits, own)): e = 0.36 [0.29, 0.43], "
                         "above retraining (placebo p = 0.004).", score="rounding (4 bits, own)"),
            ],
            reasons=["Measured, but not informative here: probes of hidden states, or the original's head."],
            tested_up_to_tier=3,
            tier_means="attacked by training",
        ),
        scores=[*scores, *(attack(made, seeds=seeds) for made in ATTACKS)],
        reference=Reference(kind="retrained", seeds=list(range(1, seeds + 1))),
        plane=plane(0.01, 0.01, seeds=seeds),
        not_run=[NotRun(name="forced_prefix", reason="answers are one token long", tier=1)],
    )  # fmt: skip


def attacked_three() -> RunView:
    """The same read against three seeds."""
    return attacked(3)


def inconclusive() -> RunView:
    """A run without retrained models."""
    return run(
        "NPO without a reference",
        verdict=Verdict(
            slug="inconclusive",
            sentence="Without retrained models it cannot be told whether this is what forgetting looks like.",
            caps=["No retrained model was given, so no better verdict than inconclusive is possible."],
            deciding=[Evidence(sentence="The answers are far less probable than before.", score="probability/forget")],
        ),
        reference=Reference(kind="none"),
        scores=[score(metric, 0.1, seeds=0) for metric in METRICS],
        plane=Plane(state="no-reference", command="expunge audit runs/npo-7 --retrain 5"),
        cost=Cost(rows=[CostRow(name="unlearning", wall_seconds=184.2)]),
        not_run=[NotRun(name="comparison with retraining", reason="no retrained model was given",
                        command="expunge audit runs/npo-7 --retrain 5")],
    )  # fmt: skip


def surrogate() -> RunView:
    """A run read against a surrogate."""
    return run(
        "NPO against a surrogate",
        verdict=Verdict(slug="inconclusive", sentence="It looks like the surrogate.", flags=["surrogate-reference"],
                        caps=["A surrogate caps the verdict at inconclusive."]),
        reference=Reference(kind="surrogate", label="the base model before it was trained on this data", seeds=[0]),
        scores=[score(metric, 0.05, seeds=1, noise_floor=None) for metric in METRICS],
        plane=plane(0.05, 0.01, seeds=1),
    )  # fmt: skip


def running() -> RunView:
    """A run whose audit has not ended: two of five seeds, and every other state on some score."""
    states: list[dict[str, Any]] = [
        {"state": "running", "known": 180, "needed": 400},
        {"state": "too-few", "known": 2, "needed": 5},
        {"state": "stale", "note": "The weights are those of step 200."},
    ]
    known = [score(m, 0.2, seeds=2, **s) for m, s in zip(METRICS, states, strict=False)]
    blank = [
        {"state": "not-run", "note": "It needs the training recipe.", "command": "expunge audit runs/npo-7 --recipe R"},
        {"state": "failed", "note": "item 17: the loss stopped being finite"},
        {"state": "redacted"},
        {"state": "empty", "note": "The test set has no records."},
    ]
    keep = ("id", "label", "role", "family")
    blanks = [Score(**{key: m[key] for key in keep}, **s) for m, s in zip(METRICS[3:], blank, strict=False)]
    return run(
        "NPO, audit running",
        state="running",
        known=2,
        needed=5,
        note="Two of five retrained models are in.",
        verdict=None,
        scores=[*known, *blanks],
        reference=Reference(kind="retrained", seeds=[1, 2]),
        plane=plane(0.2, 0.01, seeds=2),
        curves=Curves(state="running", series=curves().series[:1], known=100, needed=200),
        cost=Cost(state="not-run", note="No retraining was timed.", command="expunge audit runs/npo-7 --time"),
        not_run=[],
    )  # fmt: skip


def regression() -> RunView:
    """A regressor: values far from 0..1, some negative and very small."""
    metrics: list[dict[str, Any]] = [
        {"id": "mse/forget", "label": "Squared error", "role": "forget", "family": "behaviour", "unit": "m²",
         "higher_is": "less memorised", "original": 1204.2, "centre": 18412.0, "floor": 310.0, "n": 40},
        {"id": "shift/forget", "label": "Mean prediction shift", "role": "forget", "family": "distribution",
         "unit": "m", "original": -0.00042, "centre": -0.0091, "floor": 0.0003, "n": 40},
        {"id": "r2/test", "label": "Explained variance", "role": "test", "family": "utility", "unit": "R²",
         "higher_is": "more useful", "original": 0.871, "centre": 0.869, "floor": 0.002, "n": 2000},
    ]  # fmt: skip
    return run(
        "Ridge regression without forty houses",
        method=Method(name="downdate", title="Exact downdate", aim="removal", guarantee="exact", fields={"ridge": 0.5}),
        learner=LearnerFacts(kind="regressor", parameters=81),
        scores=[score(metric, 0.0) for metric in metrics],
        verdict=Verdict(slug="removal", sentence="The weights equal those of retraining.", tested_up_to_tier=0),
        plane=plane(0.0, 0.0),
        curves=Curves(state="empty", note="The answer is closed-form: no step was taken."),
    )


def many() -> RunView:
    """A run with a hundred metrics."""
    metrics = [{**METRICS[i % 7], "id": f"metric-{i}/forget", "label": f"Metric {i}"} for i in range(100)]
    return run(
        "A hundred metrics",
        scores=[score(metric, 0.004 * (i % 11)) for i, metric in enumerate(metrics)],
        verdict=Verdict(slug="latent", sentence="Rounding to four bits brings the answers back."),
    )


def thousand() -> RunView:
    """A run with a thousand scores, as many as a class by class audit has."""
    metrics = [{**METRICS[i % 7], "id": f"class-{i}/forget", "label": f"Class {i}"} for i in range(1000)]
    return run(
        "A thousand classes",
        scores=[score(metric, 0.004 * (i % 11)) for i, metric in enumerate(metrics)],
        verdict=Verdict(slug="latent", sentence="Rounding to four bits brings the answers back."),
    )


def hostile(text: str) -> RunView:
    """A run whose every free text is `text`."""
    return run(
        text,
        method=Method(name=text, title=text, source=text, fields={text: text}),
        request=Request(name=text, digest=text, reason=text, counts={text: 1}, forget_ids=[text]),
        verdict=Verdict(slug="latent", sentence=text, reasons=[text], caps=[text], tier_means=text,
                        deciding=[Evidence(sentence=text, score=text)], tested_up_to_tier=1),
        scores=[score({**METRICS[0], "id": text, "label": text, "unit": text, "role": text}, 0.1, note=text)],
        plane=plane(0.1, 0.1, label=text),
        curves=Curves(series=[Series(name=text, unit=text, steps=[0, 1], values=[0.0, 1.0])], stop_reason=text),
        not_run=[NotRun(name=text, reason=text, command=text)],
        lineage=[Ancestor(role=text, name=text, digest=text)],
        artefacts=[ArtefactFate(name=text, fate="kept", note=text)],
        files=[FileEntry(path=text, digest=text)],
        rerun=text,
        versions={text: text},
    )  # fmt: skip


def compared(title: str, e: float, utility: float, slug: str, request: Request, **changes: Any) -> RunView:
    """Return one of several runs on a request."""
    metrics = METRICS[:4] + METRICS[5:7]
    verdict = Verdict(slug=slug, sentence="As the scores say.", tested_up_to_tier=2)  # type: ignore[arg-type]
    return run(
        title,
        scores=[score(m, utility if m["family"] == "utility" else e) for m in metrics],
        plane=plane(e, utility).model_copy(update={"baselines": []}),
        verdict=verdict,
        request=request,
        **changes,
    )


def compare() -> CompareView:
    """Three requests: three methods and a baseline; two methods; one without a reference."""
    first, second, third = (
        Request(name=name, digest=f"sha256:{key * 64}", counts={"forget": 400, "retain": 3600})
        for name, key in (("twenty authors", "1"), ("one person", "2"), ("one book", "3"))
    )
    nothing = Method(name="nothing", title="Do nothing", aim="control")
    one = [
        compared("npo", 0.01, 0.01, "removal", first),
        compared("simnpo", 0.06, 0.02, "latent", first),
        compared("gradient ascent", -0.3, 0.8, "destroyed", first),
        compared("do nothing", 1.0, 0.0, "not-forgotten", first, method=nothing),
    ]
    two = [
        compared("npo", 0.11, 0.01, "surface", second),
        compared("scrub", 0.02, 0.06, "removal", second),
    ]
    three = inconclusive().model_copy(update={"request": third, "title": "npo"})
    return CompareView(
        title="Three requests, one model",
        created=CREATED,
        versions={"expunge": "0.1.0"},
        groups=[
            group("Twenty authors", one, reports=["npo/report.html", "simnpo/report.html", "", ""]),
            group("One person", two),
            group("One book", [three], note="Nobody has retrained without this book yet."),
        ],
        rerun="expunge demo --seeds 5",
    )


def shadowed(e: float) -> Shadowed:
    """What U-LiRA finds: more the less was forgotten; nothing for a method that failed."""
    if e < -0.2:
        return Shadowed(state="failed", note="the loss is not finite", shadows=16)
    found = min(0.5 + 0.4 * abs(e), 1.0)
    return Shadowed(shadows=16, n=96, accuracy=found, accuracy_interval=around(found, 0.04), accuracy_p95=0.875,
                    tpr_at_low_fpr=0.013 + 0.5 * abs(e))  # fmt: skip


def bench(text: str = "") -> BenchView:
    """Six methods and three trivial ways over three seeds; one has not been run to the end."""
    rows: list[dict[str, Any]] = [
        {"name": "npo", "e": 0.03, "u": 0.02, "rank": (1, 2),
         "verdicts": {"removal": 2, "inconclusive": 1}, "cost": 0.05},
        {"name": "simnpo", "e": 0.06, "u": 0.01, "rank": (1, 3), "verdicts": {"latent": 3}, "cost": 0.04},
        {"name": "scrub", "e": 0.12, "u": 0.05, "rank": (3, 4), "verdicts": {"surface": 3}, "cost": 0.21,
         "dominated": True},
        {"name": "random labels", "e": -0.11, "u": 0.28, "rank": (4, 5), "verdicts": {"latent": 3}, "cost": 0.03,
         "dominated": True},
        {"name": "gradient ascent", "e": -0.3, "u": 0.8, "rank": (6, 6), "verdicts": {"destroyed": 3}, "cost": 0.01,
         "dominated": True, "beats": False, "why": "it is farther from retraining than doing nothing"},
        {"name": "fine-tune on retain", "e": 0.83, "u": -0.03, "verdicts": {"not-forgotten": 3}, "cost": 0.1,
         "aim": "control"},
        {"name": "filter at inference", "e": 0.21, "u": 0.02, "verdicts": {"surface": 3}, "cost": 0.0,
         "aim": "control"},
        {"name": "do nothing", "e": 1.0, "u": 0.0, "verdicts": {"not-forgotten": 3}, "cost": 0.0, "aim": "control"},
    ]  # fmt: skip
    made = [
        BenchRow(
            name=row["name"] + text,
            method=Method(name=row["name"].replace(" ", "_") + text, aim=row.get("aim", "removal")),
            n=3,
            verdicts=row["verdicts"],
            e_forget=row["e"],
            e_forget_interval=around(row["e"], 0.05),
            e_utility=row["u"],
            e_utility_interval=around(row["u"], 0.03),
            seeds=[
                Point(
                    label=f"seed {i + 1}", e_forget=row["e"] + 0.01 * WOBBLE[i], e_utility=row["u"] - 0.01 * WOBBLE[i]
                )
                for i in range(3)
            ],
            fraction_of_retraining=row["cost"],
            cpu_seconds=7800.0 * row["cost"],
            step_cpu_seconds=7800.0 * row["cost"] / 1200 or None,
            peak_memory_bytes=2_306_867_200,
            rank=row.get("rank"),
            dominated=row.get("dominated", False),
            beats_trivial=None if row.get("aim") else row.get("beats", True),
            why=row.get("why", ""),
            readings={"min-k/forget": Reading(unlearned=0.51 + 0.4 * max(row["e"], 0.0), interval=around(0.6, 0.4))},
            spreads={"min-k/forget": 25.3 * max(row["e"], 0.0)},
            shadowed=shadowed(row["e"]),
            tug_of_war=max(0.0, 0.98 - abs(row["e"])),
            reports=[f"runs/{i}/report.html" for i in range(3)],
        )
        for row in rows
    ]
    made.append(
        BenchRow(name="influence", method=Method(name="influence"), n=0, state="failed",
                 note="seed 1: the Hessian is not positive definite",
                 command="expunge bench bench.yaml --only influence"),
    )  # fmt: skip
    facts = {key: value for key, value in METRICS[3].items() if key in Metric.model_fields}
    base = run()
    return BenchView(
        title="Six methods on twenty authors" + text,
        created=CREATED,
        versions={"expunge": "0.1.0"},
        rerun="expunge bench bench.yaml",
        note="Intervals are over seeds and authors." + text,
        request=base.request,
        learner=base.learner,
        reference=base.reference,
        seeds=[1, 2, 3],
        forget_axis="mean of three behaviour scores and one membership attack on the forget set",
        utility_axis="mean of two utility scores",
        rows=made,
        metrics=[Metric(**{**facts, "retrained": [0.51, 0.52, 0.5, 0.53, 0.49]})],
        retrained=base.plane.retrained,
        original=base.plane.original,
        tuning="Every method had 12 trials of the same sampler.",
        not_run=[NotRun(name="sharded training", reason="the original was not trained in shards")],
    )


def sweep(text: str = "") -> SweepView:
    """Three methods on an easy, a middling and a hard request; one failed on the last."""
    requests = [
        SweepRequest(name=name, reason=f"{name} records{text}", forget=130, axis="accuracy (forget, 1 − UA)",
                     original=1.0, retrained=retrained, noise_floor=0.01, address=f"{name}/bench.html")
        for name, retrained in (("hardest", 1.0), ("random", 0.97), ("easiest", 0.7))
    ]  # fmt: skip
    rows = []
    for n, (name, aim) in enumerate([("scrub", "removal"), ("ssd", "removal"), ("finetune", "control")]):
        cells = [
            SweepCell(e_forget=0.1 * k + 0.01 * n, e_utility=0.02, distance=0.1 * k + 0.01 * n + 0.02,
                      tug_of_war=0.99 - 0.1 * k)
            for k in range(3)
        ]  # fmt: skip
        if name == "ssd":
            cells[2] = SweepCell(state="failed", note="alpha selects nothing")
        rows.append(SweepRow(name=name + text, method=Method(name=name, aim=aim), cells=cells, hardest="easiest"))
    return SweepView(title="Three requests" + text, created=CREATED, versions={"expunge": "0.1.0"},
                     rerun="expunge bench digits", seeds=[1, 2, 3], requests=requests, rows=rows)  # fmt: skip


BUILDERS = (good, bad, destroyed, attacked, attacked_three, inconclusive, surrogate, running, regression, many)
RUNS = {builder.__name__: builder for builder in BUILDERS}
