"""The commands, put together."""

from __future__ import annotations

import typer

from expunge.cli import (
    audit,
    audit_metrics,
    bench,
    compare,
    conform,
    demo,
    export,
    forget,
    lm_eval,
    ls,
    plan,
    report,
    score,
    show,
    train,
    tune,
    validate,
    verify,
)

app = typer.Typer(
    name="expunge",
    help="Make trained models forget, and prove that they did.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("plan")(plan.plan)
app.command("forget")(forget.forget)
app.command("audit")(audit.audit)
app.command("audit-metrics")(audit_metrics.audit_metrics)
app.command("train")(train.train)
app.command("ls")(ls.ls)
app.command("show")(show.show)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.command("validate")(validate.validate)
app.command("verify")(verify.verify)
app.command("export")(export.export)
app.command("lm-eval")(lm_eval.lm_eval)
app.command("score")(score.score)
app.command("bench")(bench.bench)
app.command("tune")(tune.tune)
app.command("conform")(conform.conform)
app.command("demo")(demo.demo)
