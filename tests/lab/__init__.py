"""The test lab: builds the real parts the tests run against.

Each module builds one part and keeps it in the cache: a BuildKit release and a mirror to serve it,
Debian hosts in `systemd-nspawn`, a registry, foreign programs. Nothing here knows the product.
"""
