"""The command line: one file a command; data on stdout, talk on stderr, mistakes in one line."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

INTERRUPTED = 130
"""What typer leaves with on Ctrl-C."""


def main() -> None:
    """Run the command line; errors become a line, a hint and an exit code.

    0 done, 1 the verdict failed, 2 usage, 3 environment.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from expunge.cli._app import app
    from expunge.cli._talk import plain_warnings
    from expunge.errors import ExpungeError

    plain_warnings()

    try:
        app()
    except ExpungeError as error:
        _leave(str(error), error.hint, error.exit_code)
    except SystemExit as done:
        if done.code != INTERRUPTED:
            raise
        _leave("interrupted", "the same command goes on where this one stopped", 3)
    except OSError as error:
        what = f"{error.filename or 'file system'}: {error.strerror or error}"
        _leave(what, "is there space, and the right to write? the same command goes on", 3)


def _leave(message: str, hint: str, code: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    sys.exit(code)
