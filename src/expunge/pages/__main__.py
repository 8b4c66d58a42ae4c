"""`python -m expunge.pages`: write the JSON Schemas that the view models generate."""

from __future__ import annotations

import json
from pathlib import Path

from expunge.pages import bench_view, compare_view, run_view, sweep_view

SCHEMAS = {
    "run-1.json": run_view.schema,
    "compare-1.json": compare_view.schema,
    "bench-1.json": bench_view.schema,
    "sweep-1.json": sweep_view.schema,
}
FOLDER = Path(__file__).parent / "schema"


def text(name: str) -> str:
    """Return the text of one schema file."""
    return json.dumps(SCHEMAS[name](), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in SCHEMAS:
        (FOLDER / name).write_text(text(name), encoding="utf-8")
