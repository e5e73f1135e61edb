"""``python -m fastlazy``, and the command ``fastlazy``."""

import signal
import sys


def main() -> int:
    """Run the command with the arguments of the process; the exit status.

    While it is loaded, Ctrl-C ends the process at once, before there is anything that could catch it.
    """
    caught = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a job in the background ignores it
    if caught:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from fastlazy import cli

    if caught:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
