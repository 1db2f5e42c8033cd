"""The way in: `python -m nenrin`, and the command `nenrin`."""

import os
import signal


def _stop(number: int, frame: object) -> None:
    # Not KeyboardInterrupt: it would come out of the imports, with a traceback.
    os.write(2, b"nenrin: interrupted\n")
    os._exit(130)


def main() -> int:
    """As `nenrin.cli.main`, with one line for Ctrl-C also while that is still being imported."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not where a script has Ctrl-C ignored
        signal.signal(signal.SIGINT, _stop)
    from nenrin.cli import main as run

    signal.signal(signal.SIGINT, before)
    return run()


if __name__ == "__main__":
    raise SystemExit(main())
