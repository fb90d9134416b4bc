#!/bin/sh
# Run a program in a root of its own: namespace.sh ROOT SETUP COMMAND...
# Runs in a new user and mount namespace (unshare), as its root. The machine is at /host, read-only; ROOT stays
# writable and is the same folder that the test sees from outside. SETUP is shell text: mounts and the like.
set -eu
root=$1 setup=$2
shift 2

mount --rbind "$root" "$root"
# A proc of its own would need a process namespace; this one shows the caller's, and can have a binfmt_misc of ours.
mount --rbind /proc "$root/proc"
mount -t tmpfs tmpfs "$root/dev"
for node in null zero full random urandom; do
	: >"$root/dev/$node"
	mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/shm"

# Not chroot: in one the kernel allows no further user namespace (user_namespaces(7)), and the probe makes one.
cd "$root"
pivot_root . host
cd /
PATH=/host/usr/sbin:/host/usr/bin:/host/sbin:/host/bin
mount -o remount,bind,ro /host
eval "$setup"
exec env -i HOME=/root PATH=/usr/sbin:/usr/bin "$@"
