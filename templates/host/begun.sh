{# When a process was started, which tells it from another process with its number. -#}
# begun PID: sets `begun` to when a process was started, in clock ticks since boot (field 22 of /proc/PID/stat, proc(5)).
# Fails for one that has ended, also where nobody has asked for its status yet (Z).
begun() {
  begun=
  case $1 in ''|*[!0-9]*) return 1 ;; esac
  { read -r fields <"/proc/$1/stat"; } 2>/dev/null || return 1
  # Its name, the second field, may hold anything; what follows the last parenthesis is the third field.
  # shellcheck disable=SC2086 # words are wanted
  set -- ${fields##*)}
  case $1 in Z|X) return 1 ;; esac
  [ $# -ge 20 ] || return 1
  shift 19
  begun=$1
}
{#- #}
