"""`provision.toml` and the flags, read and judged once: what comes out is a valid Spec."""
