{# Which process the daemon is. For templates/probe.sh and templates/buildkit-service.sh. #}
{% include "host/begun.sh" %}


# recall: sets `number` and `time` to what the daemon's mark has, else to a daemon that has lost its mark; fails where
# there is neither.
recall() {
  number='' time=''
  { read -r number time <{{ paths.STARTED }}; } 2>/dev/null || { [ -x {{ paths.SERVICE_SCRIPT }} ] && lost; }
}

# lost: a daemon of a release that has the state, and no mark any more (rm -r {{ paths.SOCKET_FOLDER }}). One that systemd
# started never had one.
lost() {
  for process in /proc/[0-9]*; do
    name=; { read -r name <"$process/comm"; } 2>/dev/null
    [ "$name" = buildkitd ] || continue
    case $(readlink "$process/exe") in {{ paths.RELEASES }}/*) ;; *) continue ;; esac
    ! grep -q '/{{ paths.SERVICE }}' "$process/cgroup" || continue
    for held in "$process"/fd/*; do
      [ "$held" -ef {{ paths.LOCK }} ] || continue
      number=${process#/proc/}
      begun "$number" && { time=$begun; return; }
    done
  done
  number=''
  return 1
}

# alive: sets `pid` to the daemon that the mark names, if it still runs. A number alone proves nothing, as it may be
# another process's by now: when it was started counts too, and that a program of a release runs.
alive() {
  pid=
  recall || return 1
  begun "$number" && [ "$begun" = "$time" ] || return 1
  case $(readlink "/proc/$number/exe") in {{ paths.RELEASES }}/*) pid=$number ;; *) return 1 ;; esac
}

# last_words: what the daemon printed since it was last started, without the stack that its errors end with (lines of one
# word, and those that begin with a tab).
last_words() {
  # shellcheck disable=SC2016 # for sed
  tail -n 200 {{ paths.LOG }} 2>/dev/null | sed -n '/^{{ start_line }}/{s/.*//;h;d;};H;${g;p;}' \
    | grep -v -e "^$tab" -e '^[^ ]*$' | tail -n 5
}
{#- #}
