"""The program: `python -m singer`, and the console script."""

import signal
import sys


def main() -> None:
    """Runs `singer` with this process's arguments."""
    from ._singer import main as run

    # Python's own handler would wait until the program has ended.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(run(["singer", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
