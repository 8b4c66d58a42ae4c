"""A checker for jaxtyping's import hook that looks at the shapes of tensors and leaves every other type to mypy."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, get_args

from jaxtyping import AbstractArray


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, refusing arguments and results of another shape or dtype than annotated."""
    signature = inspect.signature(function)
    hints = {name: p.annotation for name, p in signature.parameters.items() if _is_shape(p.annotation)}
    returned = signature.return_annotation if _is_shape(signature.return_annotation) else object
    if not hints and returned is object:
        return function

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        for name, hint in hints.items():
            if name in given and not isinstance(given[name], hint):
                raise TypeError(f"{name} is not {hint}")
        result = function(*args, **kwargs)
        if not isinstance(result, returned):
            raise TypeError(f"the result is not {returned}")
        return result

    return checked


def _is_shape(hint: Any) -> bool:
    return any(isinstance(h, type) and issubclass(h, AbstractArray) for h in (hint, *get_args(hint)))
