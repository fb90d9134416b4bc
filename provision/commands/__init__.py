"""What the tasks do on a host: ask, decide, apply, judge."""
