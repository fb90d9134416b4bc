{# What buildkitd and its build steps stand on, for templates/probe.sh. provision/facts/basis.py reads it. -#}
# What the programs of a release were when it was unpacked, and which are not the same any more. The digest is taken only
# where size, mode or time differ: on a Pi it would take seconds. --deep takes all of them.
contents() {
  was=$1/{{ paths.MANIFEST }}
  [ -r "$was" ] || { [ -x "$1/bin/buildkitd" ] || record damage "$1" buildkitd lost; return; }
  now=$newline$(cd "$1/bin" && stat -c '%n %a %u %s %Y' -- * 2>/dev/null)$newline
  while read -r name mode owner size time digest; do
    case $now in
      *"$newline$name $mode $owner $size $time$newline"*) continue ;;
      *"$newline$name $mode $owner $size "*)
        same=$(sha256sum <"$1/bin/$name" 2>/dev/null)
        [ "${same%% *}" = "$digest" ] || record damage "$1" "$name" changed ;;
      *"$newline$name "*) record damage "$1" "$name" changed ;;
      *) record damage "$1" "$name" lost ;;
    esac
  done <"$was"
}

# Where builds write: what is there, and what a file made there ends with.
places() {
  for place in {{ paths.STATE }} {{ paths.SCRATCH }} {{ paths.SOCKET_FOLDER }}; do
    kind=none target=
    [ ! -h "$place" ] || { kind="link"; target=$(readlink "$place"); }
    [ ! -e "$place" ] || kind=other
    [ ! -d "$place" ] || kind=folder
    problem=
    if [ "$kind" = folder ] && [ "$uid" -eq 0 ]; then
      # Not echo: of a full disk dash says "I/O error".
      problem=$( { new=$(mktemp "$place/.provision.XXXXXX") && cat /proc/self/status >"$new"; rm -f "$new"; } 2>&1)
    fi
    record place "$place" "$kind" "$target" "${problem##*: }"
  done
  # Where systemd does not run the daemon, its start writes there first.
  if [ -e {{ paths.LOG }} ] && [ "$uid" -eq 0 ]; then
    problem=$( { : >>{{ paths.LOG }}; } 2>&1)
    record place {{ paths.LOG }} file '' "${problem##*: }"
  fi
}

# The program that starts build steps, found as the daemon finds it (executor/runcexecutor/executor.go).
runtime() {
  runtime={{ paths.PROGRAMS }}/buildkit-runc
  [ -x "$runtime" ] || runtime=$(command -v runc)
  [ -n "$runtime" ] || { record runtime; return; }
  if said=$("$runtime" --version 2>&1 </dev/null); then
    record runtime "$runtime" "${said%%"$newline"*}"
  else
    code=$? said=${said##*"$newline"}
    # Before the reason a shell says its own name.
    [ "$code" -lt 126 ] || said=${said##*: }
    record runtime "$runtime" '' "status $code: $said"
  fi
}

# bounds FIELD PROCESS: records the capabilities that a process, and all that it starts, may ever have (capabilities(7)).
bounds() {
  while read -r key value; do
    case $key in CapBnd:) record capabilities "$1" "$value"; break ;; esac
  done 2>/dev/null <"/proc/$2/status"
}

# footing PID: whether the state that a daemon has open is still the one at its path.
footing() {
  bounds daemon "$1"
  seen=no
  for held in "/proc/$1/fd"/*; do
    [ ! "$held" -ef {{ paths.LOCK }} ] || seen=yes
  done
  # Not every user may look, and a daemon that is starting does not have it yet.
  open=$(ls -l "/proc/$1/fd" 2>/dev/null)
  case $open in *buildkitd.lock*) ;; *) [ "$seen" = yes ] || return ;; esac
  # A part of it may have been taken away: then a database is open that is no longer there.
  root=${open%%/buildkitd.lock*}; root=${root##* -> }
  while IFS= read -r line; do
    case ${line##* -> } in
      "$root"/*.db) ;;
      *.db|*'.db (deleted)') seen=no ;;
    esac
  done <<END-OF-FILES
$open
END-OF-FILES
  # Or a folder that steps are started in, or layers are kept in. It makes both when it starts.
  for worker in {{ paths.STATE }}/runc-overlayfs {{ paths.STATE }}/runc-native; do
    [ ! -d "$worker" ] || { [ -d "$worker/executor" ] && [ -d "$worker/snapshots/snapshots" ]; } || seen=no
  done
  record lock "$seen"
}

# Daemons of others that have our state or our socket. One with a state of its own (in a container, or a user's rootless
# one) is in nobody's way. The descriptors are looked at only where a program of that name runs.
strangers() {
  for process in /proc/[0-9]*; do
    name=; { read -r name <"$process/comm"; } 2>/dev/null
    [ "$name" = buildkitd ] || continue
    program=$(readlink "$process/exe")
    case $program in {{ paths.RELEASES }}/*) continue ;; esac
    has=
    for held in "$process"/fd/*; do
      [ ! "$held" -ef {{ paths.LOCK }} ] || has=state
    done
    # In a container the same path is another socket.
    sockets=
    [ ! "$process/root{{ paths.SOCKET }}" -ef {{ paths.SOCKET }} ] || sockets=$(ls -l "$process/fd" 2>/dev/null)
    while read -r _ _ _ _ _ _ inode path; do
      [ "$path" = {{ paths.SOCKET }} ] || continue
      case $sockets in *"socket:[$inode]"*) has="$has socket" ;; esac
    done 2>/dev/null <"$process/net/unix"
    unit=
    # At its end `read` empties the variable.
    while IFS=: read -r _ _ group; do unit=$group; done 2>/dev/null <"$process/cgroup"
    # The daemon moves itself into a group below that of its unit.
    case $unit in *.service/*) unit=${unit%%.service/*}.service ;; esac
    [ -z "$has" ] || record stranger "${process#/proc/}" "$program" "${unit##*/}" "$has"
  done
}

# Kinds of namespaces that nothing may make here (namespaces(7), /proc/sys/user): a build step has one of each.
namespaces() {
  for kind in mnt pid ipc uts cgroup net; do
    count=; { read -r count <"/proc/sys/user/max_${kind}_namespaces"; } 2>/dev/null
    [ "$count" != 0 ] || record no-namespaces "$kind"
  done
  # Another limit may be reached. What else stands against them has other words, and facts of its own.
  { [ "$uid" -eq 0 ] && have unshare; } || return 0
  # shellcheck disable=SC2046 # none is no word
  case $(unshare -m -p -i -u $([ "$tree" != 2 ] || echo -C) -f true 2>&1 </dev/null) in
    *'No space left on device'*) record namespaces-used-up ;;
  esac
}

# runc makes a control group for each build step.
control_group() {
  [ "$uid" -eq 0 ] || return
  place=
  case $tree in 2) place=/sys/fs/cgroup ;; 1) place=/sys/fs/cgroup/devices ;; esac
  [ -d "$place" ] || return
  place=$place/{{ ('provision-' ~ nonce) | q }}
  problem=$(mkdir "$place" 2>&1) || record no-control-group "${problem##*: }"
  [ ! -d "$place" ] || rmdir "$place"
}

# Devices that each build step gets. In a user namespace runc cannot make them, and takes those that are here.
devices() {
  lacking=
  for device in null zero full random urandom tty; do
    [ -c "/dev/$device" ] || lacking="$lacking /dev/$device"
  done
  [ -z "$lacking" ] || record no-devices "$lacking"
}

# Name servers, as the daemon reads them for build steps (executor/oci/resolvconf.go).
resolvers() {
  [ -f {{ paths.RESOLVER }} ] || {
    problem=$(cat {{ paths.RESOLVER }} 2>&1 >/dev/null)
    record no-resolvers "${problem##*: }"
  }
  for path in {{ paths.RESOLVERS | q }}; do
    [ -f "$path" ] && [ -r "$path" ] || continue
    servers=
    while read -r word server _ || [ -n "$word" ]; do
      [ "$word" != nameserver ] || servers="$servers $server"
    done <"$path"
    record resolvers "$path" "$servers"
  done
}

# Where the kernel's command line is kept: it can lack the memory controller.
command_line() {
  for path in {{ paths.COMMAND_LINES | q }}; do
    [ ! -f "$path" ] || { record command-line "$path"; return; }
  done
}

{% if certificates %}
# A certificate is public; of the key only whether it is there and fits. openssl tells that where it is installed, and
# else buildctl: it reads the pair, as the daemon does at its start (loadCredentials in client/client.go), before it finds
# that nobody listens.
certificates() {
  for path in {{ certificates | map('q') | join(' ') }}; do
    [ -e "$path" ] || { record certificate "$path" lost; continue; }
    record certificate "$path" "$(stat -L -c %Y "$path")"
    [ "$path" = {{ key | q }} ] || text "$path"
  done
  # Not every user may read it.
  [ -r {{ key | q }} ] || return 0
  if have openssl; then
    record public-key "$(openssl pkey -in {{ key | q }} -pubout -outform DER 2>/dev/null </dev/null | sha256sum)"
  elif [ -x {{ paths.CLIENT }} ]; then
    case $({{ paths.CLIENT }} --addr unix:///dev/null --timeout 5 --tlscert {{ certificates[0] | q }} --tlskey {{ key | q }} debug workers 2>&1 </dev/null) in
      *'could not read certificate/key'*) record public-key another ;;
    esac
  fi
}
{% endif %}

basis() {
  for folder in {{ paths.RELEASES }}/*/; do
    folder=${folder%/}
    [ -h "$folder" ] || [ ! -e "$folder/{{ paths.DIGEST }}" ] || contents "$folder"
  done
  places
  [ ! -h {{ paths.CURRENT }} ] || runtime
  bounds self self
  bounds init 1
  strangers
  namespaces
  control_group
  devices
  resolvers
  command_line
  # What an earlier run built (templates/deep.sh).
  ! { read -r generation proven <{{ paths.PROOF }}; } 2>/dev/null || record proof "$generation" "$proven"
{% if certificates %}
  certificates
{% endif %}
}
{#- #}
