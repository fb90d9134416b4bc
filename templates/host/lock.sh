{# One run at a time changes a host. For templates/apply.sh. -#}
{% include "host/begun.sh" %}


# The lock's file has one line: token, "works" or "done", since when, process, when that was started, who.
# The kernel takes a lock of flock(1) away with the last process that has it, also when that was killed.
# Where there is no flock, runs draw numbers. The lowest number whose process lives has the lock.
lock={{ paths.RUN_LOCK }}
queue={{ paths.RUN_QUEUE }}
way='' number=''
tab=$(printf '\t')

# say_lock STATE: tells of the run that has the lock.
say_lock() {
  IFS=$tab read -r holder state since _ _ who <"$lock"
  printf 'lock\t%s\t%s\t%s\n' "$1" "${who:-unknown}" "${since:-0}"
}

write_lock() { printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$token" "$1" "$taken" $$ "$ours" "$caller" >"$lock"; }

# lock TOKEN WHO SEEN: takes the lock, or says why not and fails: another run has it, or had it after this run asked for
# the facts. SEEN is "any", or the token and the state that the facts have.
lock() {
  token=$1 caller=$2
  begun $$; ours=$begun
  # Nobody else may open it: whoever can open a file can lock it, and hold up all runs.
  (umask 077; : >>"$lock") || { printf 'lock\tfailed\n'; return 1; }
  if command -v flock >/dev/null; then way=flock; exec 7>>"$lock"
  else way=number; draw || { printf 'lock\tfailed\n'; return 1; }; fi
  end=
  until "free_by_$way"; do
    [ -z "${PROVISION_STOP:-}" ] || { say_lock stopped; return 1; }
    # Seconds since boot: what `date` says may jump.
    read -r now _ </proc/uptime; now=${now%%.*}
    [ -n "$end" ] || { say_lock waits; end=$((now + {{ lock_seconds }})); }
    [ "$now" -lt "$end" ] || { say_lock busy; return 1; }
    sleep 0.1 2>/dev/null || sleep 1
  done
  holder='' state=''
  IFS=$tab read -r holder state _ <"$lock"
  case $3 in any|"$holder $state") ;; *) say_lock changed; return 1 ;; esac
  [ -z "$end" ] || printf 'lock\ttaken\n'
  taken=$(date +%s)
  write_lock works
}

unlock() {
  [ -z "${taken:-}" ] || write_lock "done"
  [ -z "$number" ] || rm -f "$queue/$number"
}

free_by_flock() { flock -n 7; }

# draw: sets `number` to one that is higher than all that are drawn. A link is made whole or not at all. If a higher
# number was drawn meanwhile, that run may have the lock already: this one draws again.
draw() {
  (umask 077; mkdir -p "$queue") && printf '%s %s\n' $$ "$ours" >"$queue/new.$$" || return 1
  while :; do
    number=$(highest) && number=$((number + 1))
    if ln "$queue/new.$$" "$queue/$number" 2>/dev/null; then
      [ "$(highest)" -ne "$number" ] || break
      rm -f "$queue/$number"
    elif [ ! -e "$queue/$number" ]; then
      break
    fi
  done
  rm -f "$queue/new.$$"
  [ -e "$queue/$number" ]
}

highest() {
  top=0
  for each in "$queue"/[0-9]*; do
    each=${each##*/}
    case $each in *[!0-9]*) ;; *) [ "$each" -le "$top" ] || top=$each ;; esac
  done
  echo "$top"
}

# Lower numbers of runs that were killed are taken away. None is drawn again below this one.
free_by_number() {
  for each in "$queue"/[0-9]*; do
    case ${each##*/} in *[!0-9]*) continue ;; esac
    [ "${each##*/}" -lt "$number" ] || continue
    { read -r holder time <"$each"; } 2>/dev/null || continue
    begun "$holder" && [ "$begun" = "$time" ] && return 1
  done
  for each in "$queue"/[0-9]*; do
    case ${each##*/} in *[!0-9]*) continue ;; esac
    [ "${each##*/}" -ge "$number" ] || rm -f "$each"
  done
}
{#- #}
