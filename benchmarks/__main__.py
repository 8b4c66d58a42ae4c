"""Run benchmarks and write their records.

    python -m benchmarks [NAME ...]

A file `benchmarks/<name>.py` has `run() -> dict`: figures as JSON values and, where something is demanded, `demanded`,
`measured` and `passed`. Exit codes: 0 all demands are met, 1 some are not, 2 usage.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from benchmarks._measure import machine, versions

HERE = Path(__file__).resolve().parent


def main(wanted: list[str]) -> int:
    """Run what was named, or everything."""
    known = sorted(p.stem for p in HERE.glob("*.py") if not p.name.startswith("_"))
    if unknown := [name for name in wanted if name not in known]:
        print(f"error: no benchmark is called {unknown[0]!r}\nhint: allowed: {', '.join(known)}", file=sys.stderr)
        return 2
    missed = 0
    for name in wanted or known:
        print(f"{name} …", file=sys.stderr, flush=True)
        found = importlib.import_module(f"benchmarks.{name}").run()
        record = {"benchmark": name, **machine(), "versions": versions(), **found}
        path = HERE / "records" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        missed += not found.get("passed", True)
        print(f"{path}: {found.get('measured', '')} (demanded {found.get('demanded', 'nothing')})")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
