#!/bin/sh
# Run a command in a root without an init (bare.sh): bare-enter.sh NAME PID COMMAND...
# NAME is the root's cgroup, PID its PID 1. Runs in a mount namespace made for it.
set -eu
name=$1 pid=$2
shift 2
if mountpoint -q /sys/fs/cgroup; then umount -R /sys/fs/cgroup; fi
mount -t cgroup2 cgroup2 /sys/fs/cgroup
own=$(sed -n 's/^0:://p' /proc/self/cgroup)
echo 0 >"/sys/fs/cgroup/${own#/}/$name/cgroup.procs"
exec nsenter --target="$pid" --user --mount --pid --cgroup --root --wd -- "$@"
