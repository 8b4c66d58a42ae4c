"""The engine: the one loop, and what a method may ask of it."""

from expunge.learners import Part
from expunge.train._artefacts import Artefacts, Stored
from expunge.train._loop import gradients_by_part
from expunge.train._method import Gradients, Method, Modifier
from expunge.train._part import Batches, Step
from expunge.train._rehearsal import Rehearsal, Stop, level, rehearse
from expunge.train._run import Cost, Run, Watch, copied, derive

__all__ = [
    "Artefacts",
    "Batches",
    "Cost",
    "Gradients",
    "Method",
    "Modifier",
    "Part",
    "Rehearsal",
    "Run",
    "Step",
    "Stop",
    "Stored",
    "Watch",
    "copied",
    "derive",
    "gradients_by_part",
    "level",
    "rehearse",
]
