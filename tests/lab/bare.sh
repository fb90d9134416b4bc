#!/bin/sh
# Make a root without an init, as a CI job has it: bare.sh NAME FOLDER INSIDE
# FOLDER has the disk `disk` and the empty folder `root` to mount it on. Runs in a mount and a cgroup namespace made
# for it. INSIDE is bare-inside.sh. unshare takes this process's place; its child is PID 1 of the root. It waits for a line on standard input,
# which comes once the caller has written the maps of its user namespace, and prints `ready`.
set -eu
name=$1 root=$2/root disk=$2/disk inside=$3

# The mount and its loop device go when the namespace goes.
mount -o loop,noatime "$disk" "$root"
# A cgroup of its own is the top of the tree that the root sees.
if mountpoint -q /sys/fs/cgroup; then umount -R /sys/fs/cgroup; fi
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$name"
echo 0 >"/sys/fs/cgroup/$name/cgroup.procs"
# Its root is this machine's user 0, who may write to any file of sysfs: so it gets that without what is mounted in it,
# and read-only.
mount --bind /sys "$root/sys"
mount -o remount,bind,ro "$root/sys"

# exec makes a mapped user 0 root of the namespace, with all capabilities in it (user_namespaces(7)).
exec unshare --user --pid --fork --mount --cgroup \
	sh -c 'read -r line && exec sh "$@"' sh "$inside" "$root"
