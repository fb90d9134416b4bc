{# The daemon is started anew: its builds are waited for, and one that is worse than the old one is taken back.
   For templates/apply.sh. -#}
client={{ paths.CLIENT }}
saved={{ paths.PREVIOUS }}
older=$saved{{ paths.OLDER }}
waits_until=''

ask_daemon() { "$client" --addr {{ ("unix://" ~ paths.SOCKET) | q }} --timeout 5 debug "$@" 2>/dev/null </dev/null; }

# builds: prints how many builds the daemon works on. Where it has no list of them (before v0.12), or does not answer, each
# step that runs counts.
builds() {
  [ -S {{ paths.SOCKET }} ] || { echo 0; return; }
  if list=$(ask_daemon histories); then
    printf '%s\n' "$list" | grep -c '^STARTED'
  else
    running=0
    for each in /proc/[0-9]*/comm; do
      name=; { read -r name <"$each"; } 2>/dev/null
      case $name in buildkit-runc|runc) running=$((running + 1)) ;; esac
    done
    echo "$running"
  fi
}

seconds() { read -r now _ </proc/uptime; now=${now%%.*}; }

# drain SECONDS: waits until no build runs. The words of each change are a record of the step that is at work.
drain() {
  seconds
  waits_until=$((now + $1))
  quiet
}

# quiet: waits until then. Not at all where nothing said how long.
quiet() {
  [ -n "$waits_until" ] || return 0
  told=''
  while many=$(builds); [ "$many" -gt 0 ]; do
    seconds
    [ -z "${PROVISION_STOP:-}" ] || { fail "interrupted: $many of the daemon's builds run"; return 1; }
    [ "$now" -lt "$waits_until" ] || { fail "time is up, and builds still run: $many. The daemon was left as it is"; return 1; }
    minutes=$(((waits_until - now + 59) / 60))
    if [ "$told" != "$many $minutes" ]; then
      record "$id" begin "waits for running builds: $many (at most $minutes min more)" >&5
      told="$many $minutes"
    fi
    sleep 1
  done
}

listed() {
  ask_daemon workers --format '{{ "{{range .}}{{range .Platforms}}{{.OS}}/{{.Architecture}}{{if .Variant}}/{{.Variant}}{{end}} {{end}}{{end}}" }}'
}

# serves PLATFORM...: whether the daemon answers, and lists these platforms. Sets `note` if not.
serves() {
  seconds
  end=$((now + 30))
  until answer=$(listed) && [ -n "$answer" ]; do
    seconds
    [ "$now" -lt "$end" ] || { note='buildkitd does not answer, or lists no platform'; return 1; }
    sleep 1
  done
  for platform do
    case " $answer " in
      *" $platform "*|*" $platform/"*) ;;
      *) note="buildkitd does not list $platform"; return 1 ;;
    esac
  done
}

# quoted: adds the last words of the daemon to `note`; it is worse for all that.
quoted() {
  words=$("words_by_$manager" "$service")
  note="$note${words:+; it said: $words}"
  return 1
}

# call VERB: tells the service manager of this start. What it starts has none of our descriptors.
call() { "tell_$manager" "$1" "$service" 5>&- 7>&-; }

# copy_metadata VERSION: the databases of the state, without the layers: an older daemon may not read them, or spoil them.
copy_metadata() {
  copy=$own_folder/state-of-$1
  rm -rf "$copy" && mkdir -p "$copy" || return 1
  find {{ paths.STATE }} -maxdepth 3 -name '*.db' -type f >"$work/files"
  while IFS= read -r each; do
    to=$copy${each#{{ paths.STATE }}}
    mkdir -p "${to%/*}" && cp -p "$each" "$to" || return 1
  done <"$work/files"
  settle "$copy"
}

# restart MANAGER SERVICE GENERATION BACK COPY PLATFORM...: the daemon of that generation is started, anew if it runs. It has
# to list these platforms. If it does not come up, what it was started from before is brought back: `BACK` is the name of
# that, as it is saved.
restart() {
  manager=$1 service=$2 starting=$3 back=$4 copied=$5; shift 5
  quiet || return 1
  [ -e {{ paths.STATE }} ] || remember '' state {{ paths.STATE }} || return 1
  note=''
  if [ -n "$copied" ]; then call stop && copy_metadata "$copied" || return 1; fi
  if call restart && { serves "$@" || quoted; }; then
    # `rollback` must not trust again whom nobody trusts any more.
    rm -rf "$saved/files{{ paths.TLS }}"
    # A run that was cut had saved the same one.
    if [ -d "$older" ] && [ "$(cat "$saved/generation" 2>/dev/null)" = "$starting" ]; then step_back; else rm -rf "$older"; fi
    return 0
  fi
  [ -n "$note" ] || note=$(tail -n 3 "$work/log")
  why=$note
  worse=$(readlink {{ paths.CURRENT }})
  if [ -n "$back" ] && [ "$(cat "$saved/generation" 2>/dev/null)" = "$back" ]; then
    if bring_back && call restart && serves; then
      why="$why; taken back: $(cat "$saved/release") runs again"
      step_back
      drop_release "$worse" || :
      fail "$why"
    else
      why="$why; what ran before does not come up either: $note"
      give_up
    fi
  else
    give_up
  fi
}

# step_back: what runs is no way back. The one before it is, if there was one.
step_back() { rm -rf "$saved" && { [ ! -d "$older" ] || mv "$older" "$saved"; }; }

# save GENERATION RELEASE FOLDER FILE...: what the daemon that runs was started from, until the next one has proven itself
# and for a way back. The folder of its release stays where it is. The one before stays until the next one is proven.
save() {
  mkdir -p "$own_folder" && rm -rf "$saved.new" && mkdir -p "$saved.new/files" || return 1
  printf '%s\n' "$1" >"$saved.new/generation" && printf '%s\n' "$2" >"$saved.new/release" \
    && printf '%s\n' "$3" >"$saved.new/folder" || return 1
  shift 3
  for each do
    mkdir -p "$saved.new/files${each%/*}" && cp -p "$each" "$saved.new/files$each" || return 1
  done
  sync -f "$saved.new" 2>/dev/null || sync
  # Not where a run was cut between the two names: what is older is the way back then.
  if [ -d "$saved" ]; then rm -rf "$older" && mv "$saved" "$older" || return 1; fi
  mv "$saved.new" "$saved"
}

# give_up: a service that starts again and again, now and at each boot, is worse than none. Fails with `why`.
give_up() {
  call stop
  ! recorded "enabled$tab$manager$tab$service" || { call disable && forget enabled "$manager" "$service"; }
  fail "$why; it is stopped, and no boot starts it"
}

# drop_release FOLDER: removes a release that is neither in use nor one to go back to.
drop_release() {
  case $1 in "$(readlink {{ paths.CURRENT }})"|"$(cat "$saved/folder" 2>/dev/null)") return 0 ;; esac
  case $1 in {{ paths.RELEASES }}/*) rm -rf "$1" && forget release "$1" ;; esac
}

bring_back() {
  find "$saved/files" -type f >"$work/files" || return 1
  while IFS= read -r each; do
    mode=$(stat -c %a "$each")
    put "${each#"$saved/files"}" "$mode" <"$each" || return 1
  done <"$work/files"
  link {{ paths.CURRENT }} "$(cat "$saved/folder")"
}
{#- #}
