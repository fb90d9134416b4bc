"""Many hosts: what `--hosts` selects, how each is connected to, all at once, and how earlier runs ended."""
