#!/bin/sh
# Boot a disk with systemd-nspawn, in a mount and a cgroup namespace made for it: nspawn.sh NAME FOLDER SIGNAL
# FOLDER has the disk `disk`, the files `seed` to lay over it, and the empty folder `root` to mount it on.
# SIGNAL is what makes its init power off. nspawn's process takes this one's place, so that the caller can signal it.
set -eu
name=$1 folder=$2 root=$2/root signal=$3

# The mount and its loop device go when the namespace goes.
mount -o loop,noatime "$folder/disk" "$root"
[ -e "$root/etc/ssh/lab_keys" ] || cp -R "$folder/seed/." "$root/"

# nspawn gives up on hybrid or v1 hierarchies, and where PID 1 is not systemd: show it a plain cgroup2 tree.
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$name"
echo 0 >"/sys/fs/cgroup/$name/cgroup.procs"

# --register=no, --keep-unit   no machined and no systemd to ask
# --private-users=identity     a user namespace, so the host has a binfmt_misc of its own (Linux 6.7). Not `pick`: with a
#   shifted root and a shared network nspawn drops CAP_NET_BIND_SERVICE, and runc then cannot start a build step
#   ("unable to apply caps").
# --capability, --system-call-filter   what runc needs to start build steps
# - unified hierarchy: nspawn looks for a systemd in there to learn which it takes; any init takes today's.
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn --quiet --directory="$root" --machine="$name" --boot \
	--register=no --keep-unit --link-journal=no --console=read-only --resolv-conf=copy-host \
	--private-users=identity --kill-signal="$signal" \
	--capability=all --system-call-filter='@keyring bpf'
