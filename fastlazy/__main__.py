"""``python -m fastlazy``, and the command ``fastlazy``."""

import os
import signal
import sys


def main() -> int:
    """Run the command with the arguments of the process; the exit status.

    While it is loaded, Ctrl-C ends the process at once, before there is anything that could catch it.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:  # closed, which libraries that write to it do not expect
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115  (as long as the process)
    caught = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a job in the background ignores it
    if caught:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from fastlazy.cli import main as cli

    if caught:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
