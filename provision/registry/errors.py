"""What can go wrong between here and a registry."""

from __future__ import annotations

from provision.errors import ProvisionError, UnreachableError


class RegistryError(ProvisionError):
    """The registry answered, and not with what was asked for."""

    code = "registry"


class RegistrySilentError(UnreachableError):
    """The registry did not answer, or is not trusted."""

    code = "registry-silent"


class RegistryLoginError(RegistryError):
    """The registry wants a login, or refuses the one that there is."""

    code = "registry-login"


class AbsentError(RegistryError):
    """The registry has no such image, manifest or blob."""

    code = "image-absent"
