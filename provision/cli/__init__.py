"""The command line: words typed become one call, with its options and configuration, and an exit code."""
