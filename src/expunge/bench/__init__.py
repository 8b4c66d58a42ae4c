"""Methods by seeds on one request, one table; and settings chosen on records that no table reads."""

from expunge.bench._bench import run_bench
from expunge.bench._space import Range, read_space
from expunge.bench._suite import Bench, Entry, Part, bench_file, entry_from, entry_of, read_bench, suites
from expunge.bench._tune import Budget, Trial, Tuned, tune
from expunge.bench._tune_bench import tune_bench
from expunge.bench._validation import validation_request

__all__ = [
    "Bench",
    "Budget",
    "Entry",
    "Part",
    "Range",
    "Trial",
    "Tuned",
    "bench_file",
    "entry_from",
    "entry_of",
    "read_bench",
    "read_space",
    "run_bench",
    "suites",
    "tune",
    "tune_bench",
    "validation_request",
]
