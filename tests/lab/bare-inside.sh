#!/bin/sh
# PID 1 of a root without an init (bare.sh): mounts what it needs, moves into it, says so, and reaps what is left behind:
# bare-inside.sh ROOT
set -eu
root=$1

mount --rbind "$root" "$root"
mount -t proc proc "$root/proc"
# As for sysfs: this machine's sysctls stay as they are.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t binfmt_misc binfmt_misc "$root/proc/sys/fs/binfmt_misc"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do
	: >"$root/dev/$node"
	mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for number_name in 0:stdin 1:stdout 2:stderr; do
	ln -s "/proc/self/fd/${number_name%:*}" "$root/dev/${number_name#*:}"
done

cd "$root"
pivot_root . .
umount -l .
cd /
# Standard input ends when the test does, however that ends: then cat ends, PID 1, and with it everything in the root.
# `wait` also takes the orphans, which would stay as zombies.
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c 'exec 3<&0; cat <&3 >/dev/null & exec 3<&-; echo ready; wait'
