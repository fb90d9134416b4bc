"""The installed command `provision`. Only what Python has already loaded is imported at its top."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Ctrl-C during the imports ends it without a traceback, as in `inv`; Program.run hears it again."""
    # A shell starts a background job with it ignored, and so it stays.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from provision.cli.program import Program  # noqa: PLC0415
    from provision.cli.tasks import namespace  # noqa: PLC0415

    Program(name="provision", binary="provision", namespace=namespace(), called=sys.argv[0]).run()
