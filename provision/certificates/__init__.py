"""The user's own certificate authority for the daemons' TLS listeners, and what it signs.

`authority` is the folder with its keys, which never leave this machine. `pem` makes and reads certificates.
`server` decides what a host needs. Only `pem` imports `cryptography`, and only these commands pay for that.
"""
