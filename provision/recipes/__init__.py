"""The pipeline as other tools want it: one file for a CI system, for the first boot of a machine, or for an image."""

from __future__ import annotations

from typing import Final

FORMATS: Final = (
    "github",
    "github-steps",
    "gitlab",
    "woodpecker",
    "travis",
    "cloud-init",
    "packer",
    "shell",
)
"""Their rows are in `formats`, which few commands need."""
