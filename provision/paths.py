"""Where things live on a host. Neither the code nor a template spells these paths again."""

from __future__ import annotations

from typing import Final

RELEASES: Final = "/opt/buildkit"
DIGEST: Final = ".digest"
"""The file in a release's folder that holds the sha256 of its archive."""
MANIFEST: Final = ".manifest"
"""The file there with a line for each of its programs: name, mode, owner, bytes, time of change, sha256."""
CURRENT: Final = f"{RELEASES}/current"
PROGRAMS: Final = f"{CURRENT}/bin"
CLIENT: Final = f"{PROGRAMS}/buildctl"
BUILDCTL: Final = "/usr/local/bin/buildctl"
"""A link to `CLIENT`, for people."""
CONFIG: Final = "/etc/buildkit/buildkitd.toml"
TLS: Final = "/etc/buildkit/tls"
TLS_CA: Final = f"{TLS}/clients.pem"
TLS_CERT: Final = f"{TLS}/server.pem"
TLS_KEY: Final = f"{TLS}/server.key"
"""What the daemon's listener has of the user's own authority."""
ENVIRONMENT: Final = "/etc/buildkit/buildkitd.env"
"""The user's own variables for the daemon, such as proxies."""
UNIT: Final = "/etc/systemd/system/buildkit.service"
HOST_KEYS_UNIT: Final = "/etc/systemd/system/ssh-host-keys.service"
"""Of an image: its copies make host keys of their own."""
TMPFILES: Final = "/etc/tmpfiles.d/buildkit.conf"
MODULES: Final = "/etc/modules-load.d/binfmt_misc.conf"
LOADER: Final = "/etc/systemd/system/systemd-binfmt.service.d/zzz-provision.conf"
"""After the drop-ins of others, which are read by name."""
SUPPORT_ORDER: Final = "/etc/systemd/system/binfmt-support.service.d/provision.conf"
RULES: Final = "/etc/binfmt.d"
RULE_FOLDERS: Final = (RULES, "/run/binfmt.d", "/usr/local/lib/binfmt.d", "/usr/lib/binfmt.d")
"""Where systemd-binfmt reads rules, highest first (binfmt.d(5)); /lib is a link to /usr/lib, or as good as one."""
OPENRC_RULE_FOLDERS: Final = (RULES, "/run/binfmt.d", "/usr/lib/binfmt.d")
"""Where OpenRC's sh/binfmt.sh reads rules, highest first."""
UNITS_OF_THE_MACHINE: Final = "/etc/systemd/system"
UNIT_FOLDERS: Final = (
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/usr/local/lib/systemd/system",
    "/etc/systemd/system",
)
"""Where systemd reads units, lowest first (systemd.unit(5)); /run is empty after a boot."""
EMULATORS: Final = "/usr/local/lib/provision"
CACHE: Final = "/var/cache/provision"
STATE: Final = "/var/lib/buildkit"
LOCK: Final = f"{STATE}/buildkitd.lock"
"""Held by the daemon that has the state (buildkitd's cmd/buildkitd/main.go)."""
SCRATCH: Final = "/var/lib/buildkit/tmp"
"""TMPDIR of the service (templates/buildkit.service)."""
CNI: Final = "/etc/buildkit/cni.json"
"""What `network = "cni"` reads (buildkitd's cmd/buildkitd/config.go)."""
RESOLVER: Final = "/etc/resolv.conf"
RESOLVED: Final = "/run/systemd/resolve/resolv.conf"
"""Where systemd-resolved keeps the name servers that it asks itself."""
RESOLVERS: Final = (RESOLVER, RESOLVED)
COMMAND_LINES: Final = ("/boot/firmware/cmdline.txt", "/boot/cmdline.txt", "/etc/default/grub")
"""Where the kernel's command line is kept: on a Raspberry Pi since and before Debian 12, and with GRUB."""
SOCKET_FOLDER: Final = "/run/buildkit"
SOCKET: Final = f"{SOCKET_FOLDER}/buildkitd.sock"
PID: Final = f"{SOCKET_FOLDER}/buildkitd.pid"
STARTED: Final = f"{SOCKET_FOLDER}/buildkitd.started"
"""The daemon's process and when it was started, which tells it from another process with its number."""
LOG: Final = "/var/log/buildkitd.log"
SERVICE_SCRIPT: Final = f"{EMULATORS}/buildkit-service"
"""Runs the daemon where systemd does not."""
RUN_LOCK: Final = "/run/provision.lock"
"""Held by the run that changes this host (templates/host/lock.sh)."""
RUN_QUEUE: Final = "/run/provision.queue"
"""The numbers of runs where the host has no flock."""
OWN: Final = "/var/lib/provision"
PROOF: Final = f"{OWN}/proof"
"""The generation of the daemon and the platforms that were built for through it (templates/deep.sh)."""
RECORD: Final = f"{OWN}/record"
"""What this tool made, installed and replaced on the host (provision/facts/host_record.py)."""
PREVIOUS: Final = f"{OWN}/previous"
"""What the daemon before this one was started from (`save` in templates/host/daemon.sh)."""
OLDER: Final = ".older"
"""Behind that path: what was saved before, until the next daemon has proven itself."""
KEPT: Final = ".before-provision"
"""Behind the path of a file that is somebody else's, and was replaced."""
INIT_SCRIPTS: Final = "/etc/init.d"
RUNLEVELS: Final = "/etc/runlevels"
OPENRC_SERVICE: Final = "buildkit"
OPENRC_SCRIPT: Final = f"{INIT_SCRIPTS}/{OPENRC_SERVICE}"
OPENRC_LOADER: Final = f"{INIT_SCRIPTS}/provision-binfmt"
BINFMT: Final = "/proc/sys/fs/binfmt_misc"

SERVICE: Final = "buildkit.service"
SERVICE_SOCKET: Final = "buildkit.socket"
"""Not this tool's: upstream's, which starts a service of the same name as ours."""
BINFMT_MOUNT: Final = "proc-sys-fs-binfmt_misc.mount"
BINFMT_AUTOMOUNT: Final = "proc-sys-fs-binfmt_misc.automount"
SYSTEMD_BINFMT: Final = "systemd-binfmt.service"
BINFMT_SUPPORT: Final = "binfmt-support.service"
BINFMT_SUPPORT_UNIT: Final = f"/lib/systemd/system/{BINFMT_SUPPORT}"
"""Debian's."""
"""Debian's own registrar of handlers, from /var/lib/binfmts (update-binfmts(8))."""
UNITS: Final = (SERVICE, SERVICE_SOCKET, BINFMT_MOUNT, BINFMT_AUTOMOUNT, SYSTEMD_BINFMT, BINFMT_SUPPORT)


def rule(qemu: str) -> str:
    """The binfmt.d file of a handler: it overrides the distribution's of the same name (binfmt.d(5))."""
    return f"{RULES}/qemu-{qemu}.conf"


def interpreter(qemu: str, sha256: str) -> str:
    """The path of an emulator that was sent: named by its content, so a new one never replaces one in use."""
    return f"{EMULATORS}/{sha256[:12]}/qemu-{qemu}"


def release(version: str, sha256: str) -> str:
    """The folder of an unpacked release. Its name holds the archive's digest: one folder, one content."""
    return f"{RELEASES}/{version}-{sha256[:12]}"
