"""What Expunge costs, measured: `python -m benchmarks [NAME]` writes `benchmarks/records/<name>.json`."""
