"""A container registry, as its clients see it: names of images, logins, manifests and blobs. No Docker is needed.

The protocol: OCI distribution-spec 1.1. Why there is no library: of those on PyPI, `oras` hands out manifests
without the bytes that their digest is of, knows neither identity tokens nor that Docker Hub has several names,
and trusts its own authorities instead of the system's; `python-dxf` does not read Docker's configuration.
urllib3 carries what is HTTP.
"""
