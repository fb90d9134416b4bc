#!/bin/sh
# Written by provision; the next run writes it anew.
# Runs buildkitd where systemd does not. Without a service manager, by hand, at boot or in a CI job:
#   start      register the handlers that are missing, start the daemon, return when builds can start
#   stop       end it, and its builds
#   restart    both
#   status     0: it runs; 1: it ended by itself; 3: it was not started, or was stopped
#   handlers   register the handlers of {{ paths.RULES }} that this tool wrote
# Its parts, for OpenRC ({{ paths.OPENRC_SCRIPT }}): prepare, run, ready, tidy.
# Needs sh with coreutils or busybox, and root. Codes as in the Linux Standard Base: 2 for a wrong word, 4 without root.
set -u
LC_ALL=C; export LC_ALL
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 022
bin={{ paths.CURRENT }}/bin
folder={{ paths.SOCKET_FOLDER }}
socket={{ paths.SOCKET }}
log={{ paths.LOG }}
limit={{ limit }}
tab=$(printf '\t') carriage=$(printf '\r')
newline='
'

complain() { printf 'buildkit-service: %s\n' "$*" >&2; }

{% include "services/identity.sh" %}

# clock: sets `now` to the seconds since boot. What `date` says may jump.
clock() { read -r now _ </proc/uptime; now=${now%%.*}; }

pause() { sleep 0.1 2>/dev/null || sleep 1; }

# same PID TIME: whether that process still runs, whatever its program is by now.
same() { begun "$1" && [ "$begun" = "$2" ]; }

# Why no daemon of ours runs; 1 if it ended by itself, 3 if it was stopped or never started.
why_not() {
  recall || { reason="buildkitd does not run"; return 3; }
  if begun "$number"; then
    program=$(readlink "/proc/$number/exe")
    reason="buildkitd does not run: its process $number ended, and that number is now ${program:-another process}"
  else
    reason="buildkitd does not run: its process $number ended by itself"
  fi
  return 1
}

# Somebody else's buildkitd keeps ours from its state ("could not lock"). One with a state of its own (in a container, or
# a user's rootless one) is in nobody's way.
others() {
  lock={{ paths.LOCK }}
  [ -e "$lock" ] || return 1
  for process in /proc/[0-9]*; do
    name=; { read -r name <"$process/comm"; } 2>/dev/null
    [ "$name" = buildkitd ] || continue
    for held in "$process"/fd/*; do
      [ "$held" -ef "$lock" ] || continue
      complain "a buildkitd that this tool did not start runs as process ${process#/proc/} ($(readlink "$process/exe"))" \
        "with the state in {{ paths.STATE }}: stop it first"
      return 0
    done
  done
  return 1
}

# Handlers that are there stay as they are: the kernel's table may be shared with others.
handlers() {
  binfmt={{ paths.BINFMT }} failed=0
  if [ ! -e "$binfmt/register" ]; then
    [ -d "$binfmt" ] || modprobe binfmt_misc 2>/dev/null
    mount -t binfmt_misc binfmt_misc "$binfmt" 2>/dev/null
  fi
  for rules in {{ paths.RULES }}/qemu-*.conf; do
    [ -f "$rules" ] || continue
    written=
    # "|| [ -n": a last line without a newline counts.
    while IFS= read -r line || [ -n "$line" ]; do
      case $line in '# Written by provision'*) written=yes; continue ;; '#'*|';'*|'') continue ;; esac
      [ -n "$written" ] || break
      # Its first character separates its fields.
      rest=${line#?}; mark=${line%"$rest"}; name=${rest%%"$mark"*}
      [ ! -e "$binfmt/$name" ] || continue
      # One write(2) per entry.
      { printf '%s' "$line" >"$binfmt/register"; } 2>/dev/null || { complain "$name could not be registered"; failed=1; }
    done <"$rules"
  done
  return "$failed"
}

# What systemd-tmpfiles, StateDirectory and the kernel's modules are under systemd.
prepare() {
  # Under OpenRC: one that was started beside it.
  ! alive || stop
  # Not every kernel loads it when it is first mounted; where it is built in, this fails and does not matter.
  modprobe overlay 2>/dev/null
  # runc needs a tree of control groups. Where nothing has mounted one, it is the plain one of today.
  grep -q ' /sys/fs/cgroup.* - cgroup' /proc/self/mountinfo || mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
  # The socket's folder must have its group before the daemon creates the socket (moby/buildkit#4618).
  owned "$folder" 0750 {{ ("root:" ~ group) | q }} && owned {{ paths.STATE }} 0700 root:root \
    && owned {{ paths.SCRATCH }} 0700 root:root || return 1
  mkdir -p "${log%/*}" && : >>"$log" && chmod 0640 "$log" && chown {{ ("root:" ~ group) | q }} "$log" || return 1
  trim
  bury
}

owned() { mkdir -p "$1" && chmod "$2" "$1" && chown "$3" "$1"; }

# The daemon writes at the end of the file, wherever that is by then (O_APPEND): it can be emptied under it.
trim() {
  [ "$(wc -c <"$log")" -gt "$limit" ] || return 0
  cat "$log" >"$log.1" && chmod 0640 "$log.1" && : >"$log"
}

# Nobody rotates it where no service manager runs, so a process beside the daemon does, as long as that runs.
keep_small() {
  while sleep {{ interval }} && same "$1" "$2"; do trim; done
}

# Becomes the daemon. Everything it prints goes to the log already.
run() {
  # None of the caller's descriptors, say the channel of the run that started it.
  exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
  cd / || return 1
  printf '{{ start_line }}, %s, %s\n' {{ version | q }} "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  # Build steps inherit it. A soft limit of 2^30 makes yum, fakeroot and old Pythons close that many files
  # (moby/moby#38814, moby/buildkit#1665). As far as this process may: a container's limit can be lower.
  # shellcheck disable=SC3045 # dash, bash and busybox know these options
  ulimit -S -n 1024 2>/dev/null
  # shellcheck disable=SC3045
  ulimit -H -n 1048576 2>/dev/null
  # shellcheck disable=SC3045
  ulimit -c 0 2>/dev/null
  bury
  begun $$ || return 1
  printf '%s %s\n' $$ "$begun" >{{ paths.STARTED }}.new && mv -f {{ paths.STARTED }}.new {{ paths.STARTED }} \
    && printf '%s\n' $$ >{{ paths.PID }}.new && mv -f {{ paths.PID }}.new {{ paths.PID }} || return 1
  keep_small $$ "$begun" </dev/null >/dev/null 2>&1 &
  set --
  {% include "services/environment.sh" %}
  # The daemon looks for buildkit-runc, buildkit-cni-* and buildkit-qemu-* on its PATH. Platforms are detected by
  # running small programs from TMPDIR: with a noexec /tmp all but the native one vanish. A later run reads the
  # generation from /proc and sees whether a restart is due.
  exec env -i PATH="$bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" TMPDIR={{ paths.SCRATCH }} \
    PROVISION_GENERATION={{ generation | q }} "$@" \
    "$bin/buildkitd" --config {{ paths.CONFIG }} --group {{ group | q }}
{%- for address in addresses %} --addr {{ address | q }}{% endfor %}

}

answers() { [ -S "$socket" ] && "$bin/buildctl" --addr "unix://$socket" --timeout 5 debug workers >/dev/null 2>&1; }

# Returns when builds can start, or the daemon has ended, or does not answer. `child` is its process, where it is ours.
ready() {
  clock; end=$((now + {{ start_seconds }}))
  while [ "$now" -lt "$end" ]; do
    if answers && alive; then return 0; fi
    if recall; then same "$number" "$time"; elif [ -n "$child" ]; then begun "$child"; fi || {
      complain "buildkitd ended at once"; last_words >&2; return 1
    }
    pause; clock
  done
  complain "buildkitd did not answer within {{ start_seconds }} s"; last_words >&2; return 1
}

# alone: waits until no other start is at work. Two at once would each take the other's daemon for somebody else's.
alone() {
  mkdir -p "$folder" && begun $$ || return 1
  tries=0
  # With -C only one can create the file.
  until (set -C; printf '%s %s\n' $$ "$begun" >"$folder/lock") 2>/dev/null; do
    holder='' time=''
    { read -r holder time <"$folder/lock"; } 2>/dev/null
    if ! same "${holder:-none}" "$time"; then
      rm -f "$folder/lock"
      # Nobody has it, and it cannot be had: the file system is read-only or full.
      tries=$((tries + 1))
      [ "$tries" -lt 20 ] || { complain "no file can be made in $folder"; return 1; }
    fi
    pause; begun $$
  done
  trap 'rm -f "$folder/lock"' EXIT
}

start() {
  alone || return 1
  if alive; then
    [ ! -e {{ paths.STARTED }} ] || { echo "buildkitd already runs (process $pid)"; return 0; }
    # Somebody took its mark away, and the socket with it: nobody reaches it.
    stop
  fi
  why_not || [ $? -eq 3 ] || complain "$reason"
  ! others || return 1
  handlers
  prepare || return 1
  setsid sh "$0" run </dev/null >>"$log" 2>&1 &
  child=$!
  if ready; then echo "buildkitd runs (process $pid)"; return 0; fi
  # One that ended leaves its mark: `status` tells of it.
  ! alive || stop >/dev/null 2>&1
  return 1
}

# SIGTERM for the daemon, which ends its builds, then SIGKILL for the rest of its process group: runc's children, and
# what keeps the log small.
stop() {
  if ! alive; then
    why_not || [ $? -eq 3 ] || complain "$reason"
    tidy; return 0
  fi
  kill -TERM "$pid"
  clock; end=$((now + {{ stop_seconds }}))
  while same "$number" "$time"; do
    if [ "$now" -ge "$end" ]; then
      complain "buildkitd did not end within {{ stop_seconds }} s: killed"
      kill -KILL "$pid"; end=$((now + 3600))
    fi
    pause; clock
  done
  tidy; echo "buildkitd has stopped"
}

# bury: the rest of the process group of a daemon that has ended. Its number is no other process's while the group is there.
bury() {
  alive && return 1
  ! recall || begun "$number" || kill -KILL "-$number" 2>/dev/null
  rm -f {{ paths.PID }} {{ paths.STARTED }}
}

# What a daemon that was stopped leaves.
tidy() { ! bury || rm -f "$socket"; }

status() {
  if alive; then echo "buildkitd runs (process $pid)"; return 0; fi
  why_not; code=$?
  echo "$reason"
  [ "$code" -ne 1 ] || last_words
  return "$code"
}

child=
[ "$(id -u)" = 0 ] || { complain "needs root"; exit 4; }
case ${1:-} in
  start|stop|status|handlers|prepare|run|ready|tidy) "$1" ;;
  restart) stop && start ;;
  *) complain "use one of: start, stop, restart, status, handlers"; exit 2 ;;
esac
