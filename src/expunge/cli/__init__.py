"""The command line: one file a command; data on stdout, talk on stderr, mistakes in one line."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and turn errors into a line, a hint and an exit code: 0 done, 1 verdict, 2 usage, 3 environment."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from expunge.cli._app import app
    from expunge.errors import ExpungeError

    try:
        app()
    except ExpungeError as error:
        print(f"error: {error}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("error: interrupted\nhint: the same command goes on where this one stopped", file=sys.stderr)
        sys.exit(3)
    except OSError as error:
        print(f"error: {error.filename or 'file system'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(3)
