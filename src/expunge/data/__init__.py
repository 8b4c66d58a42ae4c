"""Readers: one small module a data set or format, each with `load(**options) -> Dataset`."""

from expunge.data._dataset import Dataset, Selector

__all__ = ["Dataset", "Selector"]
