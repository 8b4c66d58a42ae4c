"""The commands, put together."""

from __future__ import annotations

import typer

from expunge.cli import audit, demo, forget, ls, report, score, show, train, validate

app = typer.Typer(
    name="expunge",
    help="Make trained models forget, and prove that they did.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("forget")(forget.forget)
app.command("audit")(audit.audit)
app.command("train")(train.train)
app.command("ls")(ls.ls)
app.command("show")(show.show)
app.command("report")(report.report)
app.command("validate")(validate.validate)
app.command("score")(score.score)
app.command("demo")(demo.demo)
