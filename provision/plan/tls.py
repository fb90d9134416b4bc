"""The steps that bring the user's own authority to a host's listener. Pure."""

from __future__ import annotations

from provision import paths
from provision.plan.steps import Step, WriteFile, WriteSecret
from provision.plan.target import Target


def plan_tls(target: Target) -> tuple[Step, ...]:
    """The files that differ. The key stands in the script alone: no diff and no report shows it."""
    wanted = target.tls
    if wanted is None:
        return ()
    seen = target.facts.basis.certificates
    steps: list[Step] = []
    before = seen[paths.TLS_CA].text if paths.TLS_CA in seen else ""
    if before.split() != wanted.trusted.split() or not before:
        steps.append(_file("tls-clients", paths.TLS_CA, wanted.trusted, "who is let in", anew=not before))
    if wanted.key is not None:
        old = paths.TLS_CERT in seen and not seen[paths.TLS_CERT].lost
        steps += [
            WriteSecret(
                id="tls-key",
                action="update" if old else "create",
                target=paths.TLS_KEY,
                detail=f"a new key: {wanted.why}",
                path=paths.TLS_KEY,
                content=wanted.key.reveal(),
                mode="0600",
            ),
            _file("tls-certificate", paths.TLS_CERT, wanted.certificate, wanted.why, anew=not old),
        ]
    return tuple(steps)


def _file(id_: str, path: str, content: str, detail: str, *, anew: bool) -> WriteFile:
    action = "create" if anew else "update"
    return WriteFile(id=id_, action=action, target=path, detail=detail, path=path, content=content)
