"""Slow proofs, one file an idea: `python -m acceptance [PART | PART/IDEA ...]` runs them and writes `records/`."""
