"""`make run`: the whole system at work on this machine.

In a terminal it stays up afterwards, until Ctrl-C. Otherwise it ends, with 0 if everything expected came true.
"""

import os
import signal
import sys

from infra.local.clean_env import clean_environment

INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run the demo and return the exit code."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    clean_environment(os.environ)
    try:
        from infra.local import demo_run  # noqa: PLC0415 - Ctrl-C works while the AWS libraries are loaded

        return demo_run.run()
    except KeyboardInterrupt:
        print("\nInterrupted; nothing is left running.")
        return INTERRUPTED


def _interrupt(*_: object) -> None:
    # A second signal must not disturb what the first one started: the end of every process of the demo.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
