"""Faults of what buildkitd stands on, as shell text for a real host: each is exactly one finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from provision import paths

MANAGERS: Final = ("systemd", "openrc", "process")
BIN: Final = f"$(readlink -f {paths.CURRENT})/bin"
RULE: Final = paths.rule("s390x")
RUNC: Final = f"{BIN}/buildkit-runc"
DROP_IN: Final = f"/etc/systemd/system/{paths.SERVICE}.d"
# Another proc than that of the system, whose settings may be read-only. These limits are a user namespace's own.
LIMIT: Final = "mount -t proc proc /mnt; l=/mnt/sys/user/max_cgroup_namespaces"
RESTART: Final = {
    "systemd": "systemctl restart buildkit",
    "openrc": "rc-service buildkit restart",
    "process": f"{paths.SERVICE_SCRIPT} restart",
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Shell text that breaks a host and that undoes it, with RESTART for the manager's own command."""

    break_: str
    undo: str
    finding: str
    severity: str = "error"
    managers: tuple[str, ...] = MANAGERS
    steps: tuple[str, ...] | None = None
    """What `plan` would do about it, where that is part of the case; () is nothing."""

    def check(self, planned: Sequence[str]) -> None:
        """What ends the daemon brings more steps, such as the wait for running builds."""
        steps = self.steps or ()
        assert {*steps} <= {*planned}
        assert bool(steps) == bool(planned), planned


FAULTS: Final = {
    "runc of the release is gone": Fault(
        break_=f"mv {RUNC} /root/kept",
        undo=f"mv /root/kept {RUNC}",
        finding="release-damaged",
        steps=("release",),
    ),
    "buildkitd was cut short": Fault(
        break_=f"cp -p {BIN}/buildkitd /root/kept; rm {BIN}/buildkitd;"
        f" head -c 1000 /root/kept >{BIN}/buildkitd; chmod 755 {BIN}/buildkitd",
        undo=f"mv -f /root/kept {BIN}/buildkitd",
        finding="release-damaged",
        steps=("release",),
    ),
    "buildctl may not be run": Fault(
        break_=f"chmod 644 {BIN}/buildctl", undo=f"chmod 755 {BIN}/buildctl", finding="release-damaged"
    ),
    "the release was removed": Fault(
        break_=f"r=$(readlink {paths.CURRENT}); cp -a $r /root/kept; rm -r $r",
        undo=f"mv /root/kept $(readlink {paths.CURRENT})",
        finding="release-damaged",
        steps=("release",),
    ),
    "the link to the release leads nowhere": Fault(
        break_=f"mv {paths.CURRENT} /root/kept; ln -s {paths.RELEASES}/none {paths.CURRENT}",
        undo=f"mv -T /root/kept {paths.CURRENT}",
        finding="drift",
        steps=("release-link",),
    ),
    "settings that are no TOML": Fault(
        break_=f"cp -p {paths.CONFIG} /root/kept; echo 'no toml [' >>{paths.CONFIG}",
        undo=f"mv -f /root/kept {paths.CONFIG}",
        finding="settings-broken",
        steps=("buildkit-config",),
    ),
    "settings that are gone": Fault(
        break_=f"mv {paths.CONFIG} /root/kept",
        undo=f"mv -f /root/kept {paths.CONFIG}",
        finding="drift",
        steps=("buildkit-config",),
    ),
    "settings changed by hand": Fault(
        break_=f"cp -p {paths.CONFIG} /root/kept; echo '# mine' >>{paths.CONFIG}",
        undo=f"mv -f /root/kept {paths.CONFIG}",
        finding="drift",
        severity="warning",
        steps=("buildkit-config",),
    ),
    "the script that starts it was changed": Fault(
        break_=f"cp -p {paths.SERVICE_SCRIPT} /root/kept; echo '# mine' >>{paths.SERVICE_SCRIPT}",
        undo=f"mv -f /root/kept {paths.SERVICE_SCRIPT}",
        finding="drift",
        severity="warning",
        managers=("openrc", "process"),
    ),
    "the script that starts it may not be run": Fault(
        break_=f"chmod 644 {paths.SERVICE_SCRIPT}",
        undo=f"chmod 755 {paths.SERVICE_SCRIPT}",
        finding="drift",
        managers=("openrc", "process"),
    ),
    "the group was removed": Fault(
        break_="grep ^buildkit: /etc/group >/root/kept; groupdel buildkit",
        undo="cat /root/kept >>/etc/group; rm /root/kept",
        finding="drift",
        steps=("group", "member-ci"),
    ),
    "no file brings a handler back": Fault(
        break_=f"mv {RULE} /root/kept",
        undo=f"mv /root/kept {RULE}",
        finding="boot-missing",
        severity="warning",
        # Elsewhere the package of the emulators has a file of that name.
        managers=("process",),
        steps=("rule-s390x",),
    ),
    "the file of a handler names another emulator": Fault(
        break_=f"cp -p {RULE} /root/kept; sed -i 's,:/[^:]*:,:/usr/bin/gone:,' {RULE}",
        undo=f"mv -f /root/kept {RULE}",
        finding="boot-broken",
        severity="warning",
        # Elsewhere the package of the emulators has a file of that name.
        managers=("process",),
        steps=("rule-s390x",),
    ),
    "nothing makes the folder of the socket": Fault(
        break_=f"mv {paths.TMPFILES} /root/kept",
        undo=f"mv -f /root/kept {paths.TMPFILES}",
        finding="drift",
        managers=("systemd",),
    ),
    "a user left the group": Fault(
        break_="gpasswd -d ci buildkit",
        undo="gpasswd -a ci buildkit",
        finding="drift",
        severity="warning",
        steps=("member-ci",),
    ),
    "the state was moved away": Fault(
        break_=f"mv {paths.STATE} /root/kept",
        undo=f"mv /root/kept {paths.STATE}",
        finding="state-folder",
        steps=("service-restart",),
    ),
    "the state was emptied": Fault(
        break_=f"mkdir /root/kept; mv {paths.STATE}/* /root/kept; mkdir -m 700 {paths.SCRATCH}",
        undo=f"rmdir {paths.SCRATCH}; mv /root/kept/* {paths.STATE}; rmdir /root/kept",
        finding="state-folder",
        steps=("service-restart",),
    ),
    "the state is read-only": Fault(
        break_=f"s=$(readlink -f {paths.STATE}); mount --bind $s $s; mount -o remount,bind,ro $s",
        undo=f"umount $(readlink -f {paths.STATE})",
        finding="state-folder",
    ),
    "no program may run from the state": Fault(
        break_=f"s=$(readlink -f {paths.STATE}); mount --bind $s $s; mount -o remount,bind,noexec $s",
        undo=f"umount $(readlink -f {paths.STATE})",
        finding="worker-tmpdir",
    ),
    "a part of the state was removed": Fault(
        break_=f"mv {paths.STATE}/runc-overlayfs /root/kept",
        undo=f"mv /root/kept {paths.STATE}/runc-overlayfs",
        finding="state-folder",
        steps=("service-restart",),
    ),
    "the folder of steps was removed": Fault(
        break_=f"mv {paths.STATE}/runc-overlayfs/executor /root/kept",
        undo=f"mv /root/kept {paths.STATE}/runc-overlayfs/executor",
        finding="state-folder",
        steps=("service-restart",),
    ),
    "no program may run from /opt": Fault(
        break_="mount --bind /opt /opt; mount -o remount,bind,noexec /opt",
        undo="umount /opt",
        finding="runtime-broken",
    ),
    "the folder of the socket is read-only": Fault(
        break_=f"mount --bind {paths.SOCKET_FOLDER} {paths.SOCKET_FOLDER};"
        f" mount -o remount,bind,ro {paths.SOCKET_FOLDER}",
        undo=f"umount {paths.SOCKET_FOLDER}",
        finding="state-folder",
    ),
    "the folder of the socket was removed": Fault(
        break_=f"rm -r {paths.SOCKET_FOLDER}",
        undo=f"mkdir -m 750 {paths.SOCKET_FOLDER}; chgrp buildkit {paths.SOCKET_FOLDER}; RESTART",
        finding="worker-silent",
        steps=("service-restart",),
    ),
    "a folder where the log belongs": Fault(
        break_=f"mv {paths.LOG} /root/kept; mkdir {paths.LOG}",
        undo=f"rmdir {paths.LOG}; mv /root/kept {paths.LOG}",
        finding="state-folder",
        managers=("openrc", "process"),
    ),
    "no namespaces of control groups": Fault(
        break_=f"{LIMIT}; cat $l >/root/kept; echo 0 >$l; umount /mnt",
        undo=f"{LIMIT}; cat /root/kept >$l; umount /mnt; rm /root/kept",
        finding="namespaces",
    ),
    "a capability is taken away by a drop-in": Fault(
        break_=f"mkdir {DROP_IN}; printf '[Service]\\nCapabilityBoundingSet=~CAP_MKNOD\\n' >{DROP_IN}/x.conf;"
        "systemctl daemon-reload; RESTART",
        undo=f"rm -r {DROP_IN}; systemctl daemon-reload; RESTART",
        finding="capabilities",
        managers=("systemd",),
    ),
    "a capability is taken away from who starts it": Fault(
        break_="setpriv --bounding-set -mknod --inh-caps -mknod RESTART",
        undo="RESTART",
        finding="capabilities",
        managers=("openrc", "process"),
    ),
    "control groups are read-only": Fault(
        # Not the mount that is there: systemd 257 has files of it open for writing, which keeps it busy.
        break_="mount --bind /sys/fs/cgroup /sys/fs/cgroup; mount -o remount,bind,ro /sys/fs/cgroup",
        undo="umount /sys/fs/cgroup",
        finding="control-groups",
    ),
    "a file in the place of a device": Fault(
        break_="echo >/root/kept; mount --bind /root/kept /dev/full",
        undo="umount /dev/full; rm /root/kept",
        finding="devices",
    ),
    "another daemon takes the socket": Fault(
        break_=f"cp {BIN}/buildkitd /root/buildkitd; cd /root; PATH={BIN}:$PATH setsid ./buildkitd --root /root/state"
        f" --group buildkit --addr unix://{paths.SOCKET} </dev/null >/dev/null 2>&1 & echo $! >/root/pid;"
        f" sleep 1; until buildctl debug workers >/dev/null && ! [ {paths.SOCKET} -ot /root/pid ]; do sleep 1; done",
        undo="kill $(cat /root/pid); while kill -0 $(cat /root/pid) 2>/dev/null; do sleep 0.2; done;"
        " rm -rf /root/state /root/buildkitd /root/pid; RESTART",
        finding="daemon-foreign",
    ),
    "no name servers": Fault(
        break_=f"cp -p {paths.RESOLVER} /root/kept; : >{paths.RESOLVER}",
        undo=f"cat /root/kept >{paths.RESOLVER}; rm /root/kept",
        finding="resolver-missing",
        severity="warning",
        steps=(),
    ),
    "name servers on loopback": Fault(
        break_=f"cp -p {paths.RESOLVER} /root/kept; echo nameserver 127.0.0.1 >{paths.RESOLVER}",
        undo=f"cat /root/kept >{paths.RESOLVER}; rm /root/kept",
        finding="resolver-loopback",
        severity="warning",
        steps=(),
    ),
}
