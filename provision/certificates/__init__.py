"""The user's own certificate authority for the daemons' TLS listeners, and what it signs.

`authority` is the folder with its keys, which never leave this machine. `pem` makes and reads certificates.
`server` judges the certificate that a host has. Only `pem` imports `cryptography`, when it is first used.
"""
