"""The steps that bring the user's own authority to a host's listener. Pure."""

from __future__ import annotations

from provision import paths
from provision.plan.steps import Step, WriteFile, WriteSecret
from provision.plan.target import Target


def plan_tls(target: Target) -> tuple[Step, ...]:
    """The files that differ. The key stands in the script alone: no diff and no report shows it.

    A key that fits stays. Where a new one comes, the file that is missing is written last: a run that is cut between
    the two leaves it missing, and the next one sees that, also on a host that cannot say whether a key fits.
    """
    wanted = target.tls
    if wanted is None:
        return ()
    seen = target.facts.basis.certificates
    before = seen[paths.TLS_CA].text if paths.TLS_CA in seen else ""
    steps: list[Step] = []
    if before.split() != wanted.trusted.split() or not before:
        steps.append(_file("tls-clients", paths.TLS_CA, wanted.trusted, "who is let in", anew=not before))
    if not wanted.why:
        return tuple(steps)
    there = {path for path in (paths.TLS_CERT, paths.TLS_KEY) if path in seen and not seen[path].lost}
    anew = paths.TLS_CERT not in there
    if wanted.key is None:
        why = f"{wanted.why}; its key stays"
        return (*steps, _file("tls-certificate", paths.TLS_CERT, wanted.certificate, why, anew=anew))
    pair = [
        WriteSecret(
            id="tls-key",
            action="update" if paths.TLS_KEY in there else "create",
            target=paths.TLS_KEY,
            detail=f"a new key: {wanted.why}",
            path=paths.TLS_KEY,
            content=wanted.key.reveal(),
            mode="0600",
        ),
        _file("tls-certificate", paths.TLS_CERT, wanted.certificate, wanted.why, anew=anew),
    ]
    return (*steps, *(pair if paths.TLS_KEY in there else reversed(pair)))


def _file(id_: str, path: str, content: str, detail: str, *, anew: bool) -> WriteFile:
    action = "create" if anew else "update"
    return WriteFile(id=id_, action=action, target=path, detail=detail, path=path, content=content)
