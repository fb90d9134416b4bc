# The far end of a session: runs the scripts that come down the channel, one after the other.
#   run BYTES SECONDS PAYLOAD   then BYTES of script with "#nonce" at its end, PAYLOAD bytes for its stdin, and the
#                               nonce on a line
#   stop                        the running script is told to end after the step it is in
# The end of a script is marked on stdout by NUL, nonce, status and "ended" or "overdue"; on stderr by NUL and nonce.
# dash, bash and busybox sh; no job control, which dash has only with a terminal: setsid makes the process groups.
LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 022
nonce={{ nonce | q }}

# A script leads a session of its own: a terminal's Ctrl-C does not reach it, and one kill reaches all it started.
# Its text comes on a pipe, as an argument ends at 128 KiB (MAX_ARG_STRLEN). USR1 only sets a variable: sh runs a
# trap after the command in the foreground has ended, which is what "finish the step" means.
# shellcheck disable=SC2016  # for the shell that is started
start='PROVISION_STOP=; trap "PROVISION_STOP=1" USR1
script=$(cat 5<&-); exec 0<&5 5<&-; eval "$script"'

# coreutils' timeout may be missing and busybox's kills one process, so the clock is ours: TERM, five seconds, KILL.
# No "--" before a group: dash and busybox take it for a process. When time is up the clock takes another name before
# anything else; the shell that waits for the script reads there what ended it (a trap could be missed while sh forks).
# shellcheck disable=SC2016
clock='sleep "$1"; exec sh -c "$3" "$0.overdue" "$2"'
# shellcheck disable=SC2016
overdue='kill -TERM "-$1" || kill -TERM "$1"; sleep 5; kill -KILL "-$1"; exit 0'

# Standard output and error go through these: when the link breaks, a script's next line must not kill it by SIGPIPE.
relay() { cat; cat >/dev/null; }

# Exactly as many bytes as asked for, from a stdin that holds more (head and sh read ahead). Fewer if nobody reads them:
# the sender completes the block that dd is at (provision/transport/session.py).
# shellcheck disable=SC2154  # boot.sh has chosen the dd
copy() {
  [ "$1" -lt 65536 ] || $dd bs=65536 count="$(($1 / 65536))" iflag=fullblock || return
  [ "$(($1 % 65536))" = 0 ] || $dd bs="$(($1 % 65536))" count=1 iflag=fullblock
} 2>/dev/null

# Starts the script on the payload at descriptor 5, gives its process id on stdout, waits for it, and marks its end on
# descriptor 3.
run() {
  printf '%s\n' "$script" | setsid sh -c "$start" "$nonce" >&3 3>&- &
  child=$!
  setsid sh -c "$clock" "$nonce" "$1" "$child" "$overdue" 5<&- >/dev/null 2>&1 3>&- &
  timer=$!
  echo "$child"
  exec 5<&- >&3 3>&-
  wait "$child" 2>/dev/null; status=$?
  name=; { read -r name <"/proc/$timer/cmdline"; } 2>/dev/null
  { kill -KILL "-$timer" || kill -KILL "$timer"; wait "$timer"; } 2>/dev/null
  case $?$name in 0*|*"$nonce.overdue"*) verdict=overdue ;; *) verdict=ended ;; esac
  # The leader may have gone at TERM and left others that did not.
  [ $verdict = ended ] || kill -KILL "-$child" 2>/dev/null
  printf '\000%s\n' "$nonce" >&2
  # \000, as \0 would take digits that follow for more of the number.
  printf '\000%s %s %s\n' "$nonce" "$status" "$verdict"
}

# The number may be somebody else's by now: a process of this session has the nonce in its command line.
stop() {
  [ -n "$pid" ] && tr '\000' ' ' <"/proc/$pid/cmdline" | grep -q "$nonce" && kill -USR1 "$pid"
} 2>/dev/null

main() {
  exec 3>&1
  pid=
  while read -r verb bytes seconds payload; do
    case $verb in
      run)
        script=$(copy "$bytes")
        # Half a script, when the link broke, must not run.
        case $script in *"#$nonce") script=${script%"#$nonce"} ;; *) exit ;; esac
        # Not a child to wait for: this loop must go on reading, for a stop or the end of the link.
        # Descriptor 5, as a command in the background has no standard input but /dev/null.
        pid=$(copy "$payload" | { exec 5<&0; run "$seconds" & })
        # A script that ended early has left bytes of its payload on the channel.
        until [ "$line" = "$nonce" ]; do read -r line || break; done
        line= ;;
      stop) stop ;;
    esac
  done
  stop
}

command -v setsid >/dev/null || { echo 'sh: setsid: not found' >&2; exit 127; }
line=
{ { main 2>&1 >&3 3>&- | relay >&2 3>&-; } 3>&1 | relay; }
