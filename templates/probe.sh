#!/bin/sh
# Collects the facts of one host in one run: prints records, leaves no file behind, decides nothing.
# A record is a line of fields with tabs between them; the lines of a text follow it, each with "|" before it.
# Runs in dash, bash and busybox sh, with coreutils or busybox. Needs root for the chroot and the trial
# registration. Without root those records are missing and the others are the same.
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
tab='	'
newline='
'

record() {
  line=$1; shift
  for field do
    # A tab or newline in a name would forge a record.
    case $field in *"$tab"*|*"$newline"*) field=$(printf '%s' "$field" | tr '\t\n' '??') ;; esac
    line=$line$tab$field
  done
  printf '%s\n' "$line"
}

text() {
  # Read without a fork per line; "|| [ -n" keeps a last line that has no newline.
  while IFS= read -r line || [ -n "$line" ]; do printf '|%s\n' "$line"; done 2>/dev/null <"$1"
}

# aside COLLECTOR...: begins collectors that wait for other programs. `join` prints what they found. It comes through a
# pipe, as a disk may be full; where none can be made, the collectors are run at once.
aside() {
  beside=
  if [ -n "$work" ] && mkfifo "$work/aside" 2>/dev/null; then
    exec 8<>"$work/aside"
    { for collector do "$collector"; done; true; } >"$work/aside" 8>&- &
    beside=$!
  else
    for collector do "$collector"; done
  fi
}

join() {
  [ -n "$beside" ] || return 0
  # The pipe ends when all who could write to it have closed it.
  { exec 8>&-; cat; } <"$work/aside"
  # Without an end, facts are not believed.
  wait "$beside" || exit
}

have() { command -v "$1" >/dev/null 2>&1; }

system() {
  # Not /proc/sys/kernel/osrelease: uname(2) is what programs see, also under setarch --uname-2.6.
  # shellcheck disable=SC2046  # two words are wanted
  set -- $(uname -r -m)
  record kernel "$1" "$2"
  # The file is made to be sourced (os-release(5)); in a subshell it cannot change our variables.
  # shellcheck disable=SC1091
  ( [ -r /etc/os-release ] && . /etc/os-release
    record os "${ID:-}" "${VERSION_ID:-}" "${PRETTY_NAME:-unknown}" "${ID_LIKE:-}" )
  record native "$(od -An -v -tx1 -N64 /proc/self/exe | tr -d ' \n')"
  while read -r key value _; do
    case $key in KernelPageSize:) record page "$value"; break ;; esac
  done 2>/dev/null </proc/self/smaps
  total=0 available=0 swap=0
  while read -r key value _; do
    case $key in
      MemTotal:) total=$value ;;
      MemAvailable:) available=$value ;;
      SwapTotal:) swap=$value ;;
    esac
  done </proc/meminfo
  record memory "$total" "$available" "$swap"
  record cpus "$(nproc 2>/dev/null || grep -c ^processor /proc/cpuinfo)"
  uid=$(id -u) sudo=
  # Only if it matters: many hosts log a refused sudo.
  if [ "$uid" -ne 0 ]; then
    sudo=none
    have sudo && { sudo=password; sudo -n true </dev/null >/dev/null 2>&1 && sudo=free; }
  fi
  record user "$(id -un)" "$uid" "${SUDO_USER:-}" "$sudo"
  boot=; read -r boot 2>/dev/null </proc/sys/kernel/random/boot_id
  record boot "$boot"
  # NSS knows users that no file has (LDAP, SSSD).
  for name in {{ users | map('q') | join(' ') }}; do
    known=no; id "$name" >/dev/null 2>&1 && known=yes
    record account "$name" "$known"
  done
  record clock "$(date +%s)"
  control_groups
  for tool in {{ tools | map('q') | join(' ') }}; do
    have "$tool" && record tool "$tool"
  done
}

# Shows whether memory limits can work: a Raspberry Pi has cgroup_disable=memory by default. Version 2 lists its
# controllers at the root; /proc/cgroups has a column "enabled", and no row for what only version 2 has.
control_groups() {
  controllers=; read -r controllers 2>/dev/null </sys/fs/cgroup/cgroup.controllers
  memory=
  while read -r name _ _ enabled; do
    [ "$name" != memory ] || memory=$enabled
  done 2>/dev/null </proc/cgroups
  record cgroup "$controllers" "$memory"
  # runc needs version 2 on /sys/fs/cgroup, or version 1 with its controller of devices.
  tree=none
  while read -r _ _ _ _ point _ rest; do
    case "$point ${rest#*- } " in
      "/sys/fs/cgroup cgroup2 "*) tree=2 ;;
      /sys/fs/cgroup/*' cgroup '*[,\ ]devices[,\ ]*) tree=1 ;;
      /sys/fs/cgroup*' cgroup'*) [ "$tree" != none ] || tree=partial ;;
    esac
  done </proc/self/mountinfo
  record control-groups "$tree"
}

mounts() {
  settings=rw
  # Fields of mountinfo: id parent dev root POINT OPTIONS optional... - TYPE source superoptions (proc(5)).
  while read -r _ _ _ _ point options rest; do
    type=${rest#*- }; type=${type%% *}
    # The filesystem itself can be read-only, as after an error, where its mount is not.
    case ${rest##* } in ro|ro,*) options=$options,ro ;; esac
    [ "$point" != /proc/sys ] || settings=${options%%,*}
    case $point in
      {{ paths.BINFMT }}|/dev/shm|/run|{{ paths.SCRATCH }}) ;;
      /proc*|/sys*|/dev*|/run/*|/var/lib/docker/*|/var/lib/containers/*|{{ paths.STATE }}/*) continue ;;
    esac
    record mount "$point" "$type" "$options"
  done </proc/self/mountinfo
  # Such mounts are not waited for at boot (systemd.mount(5)).
  while read -r _ point _ options _; do
    case $point,$options, in
      \#*) ;;
      *,nofail,*|*,_netdev,*|*,noauto,*|*,x-systemd.automount,*) record late-mount "$point" ;;
    esac
  done 2>/dev/null </etc/fstab
  set --
  for place in {{ disks | q }}; do
    while [ ! -d "$place" ]; do place=${place%/*}; place=${place:-/}; done
    set -- "$@" "$place"
  done
  # df prints a line for each of its arguments, in their order.
  for wanted in {{ disks | q }}; do
    size='' free='' inodes='' unused=''
    read -r _ size _ free _ <&6
    read -r _ inodes _ unused _ <&7
    record disk "$wanted" "${size:-0}" "${free:-0}" "${unused:-0}" "${inodes:-0}"
  done 6<<END-OF-BLOCKS 7<<END-OF-INODES
$(df -Pk "$@" 2>/dev/null | tail -n +2)
END-OF-BLOCKS
$(df -Pi "$@" 2>/dev/null | tail -n +2)
END-OF-INODES
}

# The real folder behind each that a step writes to, or the one that it would be made in.
trees() {
  set --
  for place in {{ trees | map('q') | join(' ') }}; do
    while [ ! -d "$place" ]; do place=${place%/*}; place=${place:-/}; done
    set -- "$@" "$place"
  done
  for wanted in {{ trees | map('q') | join(' ') }}; do
    place=; read -r place <&6
    record tree "$wanted" "$place"
  done 6<<END-OF-FOLDERS
$({ readlink -f "$@" 2>/dev/null || for path do readlink -f "$path"; done; })
END-OF-FOLDERS
}

{% include "workplace.sh" %}

temporary() { record temporary "$1" "$2"; }

binfmt={{ paths.BINFMT }}

# Whether the kernel has binfmt_misc or its module: a mount would show, but not without changing anything. After an
# upgrade of the kernel some systems (Arch, openSUSE Tumbleweed) have no modules for the one that runs.
binfmt_module() {
  release=; { read -r release </proc/sys/kernel/osrelease; } 2>/dev/null
  while read -r _ name; do
    [ "$name" != binfmt_misc ] || { record binfmt-module there; return; }
  done </proc/filesystems
  modules=/lib/modules/$release
  if [ ! -e "$modules/modules.dep" ]; then record binfmt-module gone
  elif grep -q -s /binfmt_misc "$modules/modules.dep" "$modules/modules.builtin"; then record binfmt-module there
  else record binfmt-module none; fi
}

binfmt_state() {
  binfmt_module
  [ -d "$binfmt" ] || { record binfmt absent; return; }
  before=none
  while read -r _ _ _ _ point _ rest; do
    [ "$point" = "$binfmt" ] && { before=${rest#*- }; before=${before%% *}; }
  done </proc/self/mountinfo
  # This access triggers systemd's automount: what is mounted afterwards counts.
  problem=$(ls -d "$binfmt/status" 2>&1 >/dev/null)
  state=none options=
  while read -r _ _ _ _ point these rest; do
    [ "$point" = "$binfmt" ] && { state=${rest#*- }; state=${state%% *}; options=$these; }
  done </proc/self/mountinfo
  # Another proc over this one hides it.
  [ "$state" != binfmt_misc ] || [ -e "$binfmt/register" ] || state=none
  status=; [ -r "$binfmt/status" ] && read -r status <"$binfmt/status"
  record binfmt present "$before" "$state" "$options" "$status" "${problem##*: }"
  # The mount's options do not tell: the table of a machine around this container is mounted read-write, and root of
  # another user namespace may not write to it.
  [ "$uid" -ne 0 ] || [ "$state" != binfmt_misc ] || {
    writable=no; [ ! -w "$binfmt/register" ] || writable=yes
    record binfmt-writable "$writable"
  }
  # The table exists as long as its last mount (Linux 6.7). Our mount may end with a session, that of init does not.
  [ -r /proc/1/mountinfo ] || return
  held=no
  while read -r _ _ _ _ point _ rest; do
    case "$point ${rest#*- }" in "$binfmt binfmt_misc "*) held=yes ;; esac
  done 2>/dev/null </proc/1/mountinfo && record binfmt-held "$held"
}

# A kernel's version proves nothing where a distribution ports changes back; a trial registration does. Its magic
# matches no file, and its interpreter is a file of ours (F would pin it and deny writes to it).
binfmt_trial() {
  [ -n "$work" ] || return
  [ -w "$binfmt/register" ] || return
  # shellcheck disable=SC2016
  printf '#!/bin/sh\n' >"$work/interpreter" && chmod 755 "$work/interpreter"
  name={{ ('provision-trial-' ~ nonce) | q }}
  if problem=$( { printf '%s' ":$name:M::\\x00provision{{ nonce }}::$work/interpreter:F" >"$binfmt/register"; } 2>&1 ); then
    record trial yes
  else
    record trial no "${problem##*: }"
  fi
  [ -e "$binfmt/$name" ] && echo -1 >"$binfmt/$name"
}

binfmt_entries() {
  # readdir gives the newest first, which is the order in which the kernel tries them; a glob would sort.
  find "$binfmt" -maxdepth 1 -type f 2>/dev/null | while IFS= read -r path; do
    name=${path##*/}
    case $name in register|status) continue ;; esac
    # find prints a name with a line break as two lines.
    [ "$path" = "$binfmt/$name" ] && [ -f "$path" ] || continue
    record entry "$name"
    text "$path"
  done
}

binfmt_rules() {
  for folder in {{ paths.RULE_FOLDERS | q }}; do
    for path in "$folder"/*.conf; do
      [ -e "$path" ] || [ -h "$path" ] || continue
      target=; [ -h "$path" ] && target=$(readlink "$path")
      record rule "$path" "$target"
      [ -f "$path" ] && text "$path"
    done
  done
}

interpreters() {
  set --
  # The paths where emulators may be, and those that handlers and rules name (in a rule the last field but one).
  # A here-document, because a loop behind a pipe would be a subshell.
  while IFS= read -r path; do
    [ -f "$path" ] && set -- "$@" "$path"
  done <<END-OF-PATHS
$({
    printf '%s\n' {{ interpreters | map('q') | join(' ') }}
    find "$binfmt" -maxdepth 1 -type f -exec sed -n 's/^interpreter //p' {} + 2>/dev/null
    find {{ paths.RULE_FOLDERS | q }} -name '*.conf' -type f \
      -exec sed -n 's/^\([^#; ]\).*\1\(\/.*\)\1[A-Z]*[[:space:]]*$/\2/p' {} + 2>/dev/null
  } | sort -u)
END-OF-PATHS
  [ $# -gt 0 ] || return
  stat -L -c "interpreter$tab%n$tab%d:%i$tab%s$tab%a" "$@"
  # The real path of each: a symlink may lead to another filesystem.
  { readlink -f "$@" 2>/dev/null || for path do readlink -f "$path"; done; } | sed "s/^/real$tab/"
  # One od for all files: the reader takes min(size, 1024) bytes for each.
  record heads
  # One head, too, where it takes -q: on a Pi a fork takes as long as all the reading.
  if head -q -c 1 /dev/null 2>/dev/null; then head -q -c 1024 "$@"; else
    for path do head -c 1024 "$path"; done
  fi | od -An -v -tx1 | tr -d ' ' | sed 's/^/|/'
}

# Starts every probe program at once. Each blocks on the gate, so that the emulator the kernel really holds can be
# read from /proc/PID/exe; when the gate closes it exits with its own argument count.
probes() {
  answered=
  [ -n "$work" ] || return
  mkfifo "$work/gate" || return
  enter=
  [ "$(id -u)" = 0 ] && enter="chroot $work/root"
  starter=$(command -v chroot)
{% for probe in probes %}
  printf '{{ probe.octal }}' >"$work/root/p-{{ probe.name }}"
{% endfor %}
  chmod 755 "$work"/root/p-*
  exec 9<>"$work/gate"
  pids=
{% for probe in probes %}
  launch {{ probe.name }} {{ probe.argc }}
{% endfor %}
  # Side by side: each emulator is started once more for its version, and most hosts have several cores.
  seers=
  for pair in $pids; do
    { blocked "${pair#*=}" && inspect "${pair%=*}" "$at"; } >"$work/seen-${pair%=*}" 8>&- 9>&- &
    seers="$seers $!"
  done
  # shellcheck disable=SC2086  # the numbers are words
  wait $seers
  cat "$work"/seen-*
  # By now each program has only its exit left. The first field is CPU time in ns (Documentation/scheduler/sched-stats.rst).
  for pair in $pids; do
    started "${pair#*=}" || continue
    spent=; read -r spent _ 2>/dev/null <"/proc/$at/schedstat"
    [ -z "$spent" ] || record spent "${pair%=*}" "$spent"
  done
  exec 9>&-
  # For all of them together, in steps of 20 ms.
  patience=$(({{ patience }} * 50))
  for pair in $pids; do
    pid=${pair#*=}
    if gone "$pid"; then
      wait "$pid" 2>/dev/null
      status=$?
    else
      started "$pid" && kill -9 "$at" 2>/dev/null
      kill -9 "$pid" 2>/dev/null
      wait "$pid" 2>/dev/null
      status=late
    fi
    answered="$answered ${pair%=*}=$status"
    record probe "${pair%=*}" "$status"
  done
}

launch() {
  name=$1 argc=$2
  set --
  while [ $(($# + 1)) -lt "$argc" ]; do set -- "$@" x; done
  if [ -n "$enter" ]; then set -- chroot "$work/root" "/p-$name" "$@"; else set -- "$work/root/p-$name" "$@"; fi
  "$@" <"$work/gate" >/dev/null 2>&1 8>&- 9>&- &
  pids="$pids $name=$!"
}

# started PID: sets `at` to the process that runs the program, once it does: PID itself, or its child where chroot does not
# become the program but waits for it (uutils). Before, both are this shell or chroot. An emulator may change its name.
started() {
  children=; { read -r children <"/proc/$1/task/$1/children"; } 2>/dev/null
  for at in $children "$1"; do
    [ -e "/proc/$at/exe" ] || continue
    [ "/proc/$at/exe" -ef "/proc/$$/exe" ] || [ "/proc/$at/exe" -ef "$starter" ] || return 0
  done
  return 1
}

# blocked PID: true once the process runs the program; false once it is gone. Spins a little first: an emulator needs
# about 5 ms to start.
blocked() {
  tries=0
  while [ $tries -lt 300 ]; do
    started "$1" && return 0
    [ -e "/proc/$1/exe" ] || return 1
    tries=$((tries + 1))
    [ $tries -lt 100 ] || sleep 0.02 2>/dev/null || sleep 1
  done
  return 1
}

# gone PID: false if it is still there when there is no `patience` left.
gone() {
  tries=0
  while [ -e "/proc/$1/exe" ]; do
    tries=$((tries + 1))
    [ $tries -ge 100 ] || continue
    [ $patience -gt 0 ] || return 1
    patience=$((patience - 1))
    sleep 0.02 2>/dev/null || { sleep 1; patience=$((patience - 49)); }
  done
}

inspect() {
  executable=$(readlink "/proc/$2/exe")
  held=$(stat -L -c '%d:%i' "/proc/$2/exe" 2>/dev/null)
  current=$(stat -L -c '%d:%i' "${executable% (deleted)}" 2>/dev/null)
  version=
  case ${executable##*/} in
    p-*) ;;
    # Through /proc the kernel's own open file is run, even when its path is gone or replaced.
    *) version=$("/proc/$2/exe" --version </dev/null 2>/dev/null | { IFS= read -r line; printf '%s' "$line"; }) ;;
  esac
  # Another inode may hold the same emulator, installed again.
  ours='' theirs=''
  if [ -n "$current" ] && [ "$held" != "$current" ]; then
    ours=$(sha256sum <"/proc/$2/exe") theirs=$(sha256sum <"${executable% (deleted)}")
  fi
  record emulator "$1" "$executable" "$held" "$current" "$version" "${ours%% *}" "${theirs%% *}"
}

# Finds out which programs run without a handler: runs them in a user namespace with an empty binfmt_misc (Linux 6.7
# or newer), or else with a mark that no handler takes and the kernel's own loader does.
natives() {
  [ -n "$work" ] || return
  unregistered || marked
}

unregistered() {
  have unshare || return
  # shellcheck disable=SC2016
  unshare -U -r -m sh -c '
    mount -t binfmt_misc binfmt_misc {{ paths.BINFMT }} || exit 1
    for name do
      chroot "$0" "/p-$name" x x </dev/null >/dev/null 2>&1
      [ $? -eq 3 ] && answer=yes || answer=no
      printf "runs-natively\t%s\t%s\n" "$name" "$answer"
    done
  ' "$work/root" {{ probes | map(attribute='name') | map('q') | join(' ') }} 2>/dev/null
}

marked() {
  [ "$(id -u)" = 0 ] || return
{% for probe in probes %}
  printf '{{ probe.marked }}' >"$work/root/m-{{ probe.name }}"
{% endfor %}
  chmod 755 "$work"/root/m-*
  for name in {{ probes | map(attribute='name') | map('q') | join(' ') }}; do
    chroot "$work/root" "/m-$name" x x </dev/null >/dev/null 2>&1
    [ $? -eq 3 ] && answer=yes || answer=no
    record runs-marked "$name" "$answer"
  done
}

{% if packagers %}
{% include "packages/ask.sh" %}
{% endif %}

files() {
  set --
  for path in {{ files | map('q') | join(' ') }}; do
    if [ -h "$path" ]; then
      record link "$path" "$(readlink "$path")"
    elif [ -e "$path" ]; then
      set -- "$@" "$path"
    fi
  done
  [ $# -gt 0 ] || return
  # %F is "regular file", "regular empty file", "directory", "socket" ...
  while IFS=$tab read -r mode owner group type changed path; do
    record file "$path" "$mode" "$owner" "$group" "${type%% *}" "$changed"
    case $type in regular*) text "$path" ;; esac
  done <<END-OF-FILES
$(stat -c "%a$tab%U$tab%G$tab%F$tab%Y$tab%n" "$@")
END-OF-FILES
}

service() {
  # shellcheck disable=SC2016
  group=$(getent group {{ group | q }} 2>/dev/null || grep {{ ('^' ~ group ~ ':') | q }} /etc/group)
  [ -z "$group" ] || record group "${group%%:*}" "${group##*:}"
  for folder in {{ paths.RELEASES }}/*/; do
    folder=${folder%/}
    [ -h "$folder" ] || [ ! -r "$folder/{{ paths.DIGEST }}" ] || { read -r digest <"$folder/{{ paths.DIGEST }}"; record release "$folder" "$digest"; }
  done
  for path in {{ paths.CACHE }}/*; do
    [ -f "$path" ] && record cached "${path##*/}" "$(stat -c %s "$path")"
  done
  # What OpenRC booted has this (verify_boot in its openrc-run.sh), and what systemd booted that (sd_booted(3)).
  [ ! -e /run/openrc/softlevel ] || init_scripts
  if [ -d /run/systemd/system ]; then
    record systemd "$(systemctl --version 2>/dev/null | { read -r _ version _; printf '%s' "$version"; })"
    # systemctl prints the properties in an order of its own, and an empty line between units.
    systemctl show --property Id,LoadState,ActiveState,SubState,UnitFileState,NRestarts,NeedDaemonReload,MainPID,FragmentPath,DropInPaths \
      {{ paths.UNITS | q }} 2>/dev/null | while IFS='=' read -r key value; do
      record unit "$key" "$value"
      [ "$key" != MainPID ] || [ "$value" = 0 ] || daemon "$value"
    done
    loader
    binfmts
  fi
  mark
  workers
  own_record
  leftovers
  previous previous {{ paths.PREVIOUS }}
  previous older {{ paths.PREVIOUS }}{{ paths.OLDER }}
{% if sizes %}
  sizes
{% endif %}
  claimed
}

# What runs as process 1, and whether the table of handlers is a machine's around this container.
surroundings() {
  init=; { read -r init </proc/1/comm; } 2>/dev/null
  record init "$init"
  record namespaces "$(readlink /proc/self/ns/user)" "$(readlink /proc/self/ns/pid)"
  manager=$(tr '\000' '\n' 2>/dev/null </proc/1/environ | sed -n 's/^container=//p')
  release=; { read -r release </proc/sys/kernel/osrelease; } 2>/dev/null
  # All systems of one WSL share its kernel.
  case $release in *icrosoft*) [ -n "$manager" ] || manager=WSL ;; esac
  [ -n "$manager" ] || [ ! -e /run/.containerenv ] || manager=podman
  [ -n "$manager" ] || [ ! -e /.dockerenv ] || manager=docker
  [ -z "$manager" ] || record container "$manager"
  identity=; { read -r identity </etc/machine-id; } 2>/dev/null
  record machine "$identity" "$(stat -c %d:%i /)"
}

# OpenRC's services, read from the files that it keeps: rc-service would start a shell for each.
init_scripts() {
  record openrc "$(openrc --version 2>/dev/null | { read -r line; printf '%s' "${line##* }"; })"
  # The kind of container, such as LXC, as OpenRC sees it.
  kind=$(openrc --sys 2>/dev/null | tr '[:upper:]' '[:lower:]')
  for name in {{ init_scripts | q }}; do
    [ -f "{{ paths.INIT_SCRIPTS }}/$name" ] || continue
    state=
    for each in started starting stopping inactive failed; do
      [ ! -h "/run/openrc/$each/$name" ] || state=$each
    done
    levels=
    for level in {{ paths.RUNLEVELS }}/*/"$name"; do
      [ ! -h "$level" ] || { level=${level%/*}; levels="$levels ${level##*/}"; }
    done
    refuses=
    [ -z "$kind" ] || while read -r word marks; do
      [ "$word" = keyword ] || continue
      case " $marks " in *" -$kind "*|*" no$kind "*|*" -containers "*) refuses=refuses ;; esac
    done <"{{ paths.INIT_SCRIPTS }}/$name"
    count=; { read -r count <"/run/openrc/options/$name/start_count"; } 2>/dev/null
    record init-script "$name" "$state" "$levels" "$refuses" "$count"
  done
}

{% include "services/identity.sh" %}

{% include "facts/basis.sh" %}

# The daemon that templates/buildkit-service.sh started, if one did.
mark() {
  if alive; then record mark running "$pid"; daemon "$pid"
  elif recall; then record mark ended "$number"; last_words | sed 's/^/|/'; fi
}

{% include "facts/loader.sh" %}

# What the running daemon was started from: its generation shows whether files changed after its start.
daemon() {
  footing "$1"
  record daemon "$(readlink "/proc/$1/exe")" \
    "$(tr '\000' '\n' 2>/dev/null <"/proc/$1/environ" | sed -n 's/^PROVISION_GENERATION=//p')" \
    "$(tr '\000' '\n' 2>/dev/null <"/proc/$1/environ" | sed -n 's/^TMPDIR=//p')" \
    "$(tr '\000' ' ' 2>/dev/null <"/proc/$1/cmdline")"
}

{% if source != "release" %}
# A BuildKit that was built from source uses the host's runc, a release its own. To start it takes 20 ms.
runc_version() {
{% if source == "auto" %}
  [ ! -x {{ paths.PROGRAMS }}/buildkit-runc ] || return
{% endif %}
  have runc || return
  record runc "$(command -v runc)" "$(runc --version 2>/dev/null | { read -r _ _ version; printf '%s' "$version"; })"
}
{% endif %}

# The run that changed this host last (templates/host/lock.sh). The facts are of a host at rest if it is done, or was killed.
claimed() {
  holder=; { IFS=$tab read -r holder state _ process time _ <{{ paths.RUN_LOCK }}; } 2>/dev/null
  [ -n "$holder" ] || return
  if [ "$state" = works ] && begun "$process" && [ "$begun" = "$time" ]; then state=changing; fi
  record run "$holder" "$state"
}

{% if sizes %}
# Every file is looked at, which takes minutes where a cache is large.
sizes() {
  for folder in {{ paths.STATE }} {{ paths.RELEASES }}; do
    [ ! -d "$folder" ] || record size "$folder" "$(du -sk "$folder" 2>/dev/null | cut -f 1)"
  done
}
{% endif %}

# previous KIND FOLDER: what is saved there of a daemon.
previous() {
  generation=; { read -r generation <"$2/generation"; } 2>/dev/null
  [ -n "$generation" ] || return
  version='' folder=''
  { read -r version <"$2/release"; read -r folder <"$2/folder"; } 2>/dev/null
  record "$1" "$generation" "$version" "$folder"
  for path in {{ files | map('q') | join(' ') }}; do
    saved=$2/files$path
    [ -f "$saved" ] || continue
    record "$1-file" "$path" "$(stat -c %a "$saved")"
    text "$saved"
  done
}

# What a run that was killed has left: its own folder, files under temporary names, a release half unpacked.
leftovers() {
  for mark in /tmp/provision.*/change /var/tmp/provision.*/change /run/provision.*/change /dev/shm/provision.*/change; do
    { read -r process time <"$mark"; } 2>/dev/null || continue
    begun "$process" && [ "$begun" = "$time" ] || record leftover "${mark%/change}"
  done
  set --
  for path in {{ files | map('q') | join(' ') }}; do
    case " $* " in *" ${path%/*} "*) ;; *) set -- "$@" "${path%/*}" ;; esac
  done
  for folder in "$@" {{ paths.OWN }} {{ paths.TLS }}; do
    for each in "$folder"/.provision.*; do [ ! -e "$each" ] || record leftover "$each"; done
  done
  for each in {{ paths.RELEASES }}/.incoming.* {{ paths.CURRENT }}.new {{ paths.BUILDCTL }}.new \
    {{ paths.PREVIOUS }}.new {{ paths.OWN }}/packages-before; do
    [ ! -e "$each" ] && [ ! -h "$each" ] || record leftover "$each"
  done
}

own_record() {
  [ -f {{ paths.RECORD }} ] || return
  record host-record
  text {{ paths.RECORD }}
}

workers() {
  client={{ paths.CLIENT }}
  [ -x "$client" ] || client=$(command -v buildctl) || return
  [ -S {{ paths.SOCKET }} ] || return
  if answer=$("$client" --addr {{ ('unix://' ~ paths.SOCKET) | q }} --timeout 10 debug workers --format '{{ '{{json .}}' }}' 2>&1 </dev/null); then
    record workers ok
  else
    record workers error
  fi
  printf '%s\n' "$answer" | sed 's/^/|/'
}

{% if registries %}
{% include "registries.sh" %}
{% endif %}
cleanup() { [ -z "$work" ] || rm -rf "$work"; }
work=
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

system
mounts
trees
workplace temporary
aside service basis
binfmt_state
binfmt_trial
binfmt_entries
binfmt_rules
interpreters
probes
natives
{% if packagers %}
package_managers
{% endif %}
files
surroundings
{% if source != "release" %}
runc_version
{% endif %}
{% if registries %}
registries
{% endif %}
join
record end
