"""`expunge report`: draw a run's page anew, or put several runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from expunge.cli._talk import put

if TYPE_CHECKING:
    from expunge.pages import RunView
    from expunge.run_folder import RunFolder


def report(
    runs: Annotated[list[Path], typer.Argument(help="One run folder, or several.")],
    out: Annotated[Path | None, typer.Option(help="File to write. Default: in the run, or comparison.html.")] = None,
    title: Annotated[str, typer.Option(help="Heading of a comparison.")] = "Runs side by side",
    as_json: Annotated[bool, typer.Option("--json", help="Print the view model instead of writing a page.")] = False,
) -> None:
    """Write the report of one run, or a comparison of several."""
    from expunge import pages
    from expunge.report import compare_view
    from expunge.run_folder import RunFolder

    folders = [RunFolder.open(r) for r in runs]
    views = [_view(f) for f in folders]
    if len(views) == 1:
        view: pages.RunView | pages.CompareView = views[0]
        page, place = pages.render_run(views[0]), out or folders[0].path / "report.html"
    else:
        place = out or Path("comparison.html")
        groups: dict[str, list[tuple[pages.RunView, str]]] = {}
        for folder, one in zip(folders, views, strict=True):
            groups.setdefault(one.request.reason or one.request.name, []).append(
                (one, _relative(folder.path / "report.html", place))
            )
        view = compare_view(title, groups)
        page = pages.render_compare(view)
    if not as_json:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(page, encoding="utf-8")
    put(view.model_dump(mode="json"), as_json=as_json, text=str(place))


def _view(folder: RunFolder) -> RunView:
    from pydantic import ValidationError

    from expunge.errors import RunError
    from expunge.pages import RunView

    try:
        return RunView.model_validate(folder.read("view.json"))
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        what = f"{folder.path / 'view.json'} is damaged or of another version: {where}"
        raise RunError(what, hint="`expunge audit RUN` makes it anew") from None


def _relative(target: Path, page: Path) -> str:
    import os

    return Path(os.path.relpath(target, page.absolute().parent)).as_posix()
