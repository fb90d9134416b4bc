{# Included by the scripts that run programs of their own on a host. -#}
# workplace COMMAND: makes a folder where programs may run, with an empty folder `root` for chroot, and sets `work` to it.
# Where there is none, `work` is empty and the status false. A program is tried there, as mount options say too little:
# /run is noexec on Debian, /tmp on hardened systems (CIS). If COMMAND is not empty, every place is tried, and COMMAND
# is called with the place and "exec" or "noexec".
workplace() {
  work=
  for place in /tmp /var/tmp /run /dev/shm "${HOME:-/root}"; do
    folder=$(mktemp -d "$place/provision.XXXXXX" 2>/dev/null) || continue
    mkdir "$folder/root" && printf '#!/bin/sh\nexit 7\n' >"$folder/try" && chmod 755 "$folder" "$folder"/*
    "$folder/try" </dev/null >/dev/null 2>&1
    if [ $? -eq 7 ]; then runs='exec'; else runs='noexec'; fi
    [ -z "$1" ] || "$1" "$place" "$runs"
    if [ "$runs" = exec ] && [ -z "$work" ]; then work=$folder; else rm -rf "$folder"; fi
    [ -n "$1" ] || [ -z "$work" ] || break
  done
  [ -n "$work" ]
}
