"""`fab -H a,b provision` works too; `./inv` is the way."""

from tasks import namespace  # noqa: F401 - Fabric looks for this name
