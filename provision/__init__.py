"""Turn a Linux machine into one that builds container images for every platform, and prove it."""

__version__ = "0.1.0"
