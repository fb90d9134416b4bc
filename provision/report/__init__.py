"""Reports: renderings of the same typed results."""

from __future__ import annotations

from provision.report.output import Style, output
from provision.result import Report

__all__ = ["Report", "Style", "output"]
