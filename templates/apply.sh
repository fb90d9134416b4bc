#!/bin/sh
# Carries out a plan on one host, step by step. Prints a record when a step begins and when it ends:
#   step <tab> id <tab> begin|done|failed|skipped <tab> words <tab> status <tab> emulator
# The status is that of a probe program whose answer was wrong; provision/facts/view.py says what it means.
# A step changes its target completely or not at all: files get a temporary name and are renamed.
# Runs in dash, bash and busybox sh, with coreutils or busybox.
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 022
binfmt={{ paths.BINFMT }}
stopped=
failures=0
finished=' '

record() {
  printf 'step\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$(printf '%s' "${3:-}" | tr '\t\n' '  ')" "${4:-}" "${5:-}"
}

# run ID FATAL COMMAND...: carries out one step. Its output is shown if it fails.
run() {
  id=$1 fatal=$2; shift 2
  # templates/session.sh sets this when the user pressed Ctrl-C or the link broke, which may be why a step failed.
  [ -z "${PROVISION_STOP:-}" ] || stopped=interrupted
  if [ -n "$stopped" ]; then record "$id" skipped "$stopped"; return; fi
  record "$id" begin
  note='' wrong='' emulator=''
  if "$@" >"$work/log" 2>&1; then
    record "$id" "done" "$note"
    case $note in 'skipped: '*) ;; *) finished="$finished$id " ;; esac
  else
    [ -n "$note$wrong" ] || note=$(tail -n 3 "$work/log")
    record "$id" failed "$note" "$wrong" "${wrong:+$emulator}"
    tail -n 20 "$work/log" | sed 's/^/|/'
    failures=$((failures + 1))
    [ "$fatal" = no ] || stopped="after $id"
  fi
}

# run_after IDS ID FATAL COMMAND...: as `run`, if one of the steps before it was done, or if none is named.
run_after() {
  needed=$1; shift
  for each in $needed; do
    case $finished in *" $each "*) needed='' ;; esac
  done
  if [ -n "$needed" ]; then record "$1" skipped "nothing of what it is for was changed"; return; fi
  run "$@"
}

# apart COMMAND...: for what may start programs that outlive this script: they must not keep the lock.
apart() { "$@" 7>&-; }

# Every step runs in this shell, not in a subshell: it may set `note`, its words for the report, and `wrong`, the exit
# status of a probe program that did not run as it should by `emulator`.
fail() { note=$1; return 1; }

# put PATH MODE: writes standard input to the file, completely or not at all.
put() {
  folder=${1%/*}
  folders "$folder" || return 1
  # mv would move the file into the folder.
  [ ! -d "$1" ] || { echo "$1 is a folder" >&2; return 1; }
  new=$(mktemp "$folder/.provision.XXXXXX") || return 1
  if cat >"$new" && chmod "$2" "$new" && chown root:root "$new" && settle "$new" && keep "$1" && expect "$new" "$1" \
    && mv -f "$new" "$1"; then remember "$(digest "$1")" file "$1"; return; fi
  rm -f "$new"; return 1
}

# expect NEW PATH: the record has the digests of the file that comes and of the one that is there: whichever a run that is
# cut leaves is known as ours.
expect() {
  coming=$(digest "$1") present=
  [ ! -f "$2" ] || present=$(digest "$2")
  [ "$present" != "$coming" ] || present=
  remember "$coming${present:+$tab$present}" file "$2"
}

# Not by a pipe: its commands would run in a subshell, where `note` is lost.
file() { printf '%s' "$3" >"$work/text" && put "$1" "$2" <"$work/text"; }

{% include "packages/install.sh" %}

# install MANAGER REMOVES INSTEAD NAME...: what comes with these packages is ours, also if this run is cut and another one concludes it.
install() {
  begin_packages "$1" && { packages "$@" && installed=0 || installed=$?; } && conclude_packages && return "$installed"
}

# runtime MANAGER MAJOR MINOR: the distribution's runc, if it is as new as that.
runtime() {
  install "$1" no '' runc || return 1
  major=$2 minor=$3
  # shellcheck disable=SC2046 # two words are wanted
  set -- $(runc --version 2>/dev/null | sed -n 's/^runc version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
  [ $# -eq 2 ] || { fail "runc was installed, and does not say its version"; return 1; }
  [ "$1" -gt "$major" ] || { [ "$1" -eq "$major" ] && [ "$2" -ge "$minor" ]; } \
    || fail "the distribution has runc $1.$2, and BuildKit needs $major.$minor or newer"
}

# mount_binfmt MANAGER
mount_binfmt() {
  # The folder appears with the module; without modprobe the mount itself loads it (fs-binfmt_misc alias).
  [ -d "$binfmt" ] || modprobe binfmt_misc || fail "this kernel has no binfmt_misc" || return 1
  [ -e "$binfmt/register" ] && return 0
  "mount_by_$1"
  [ -e "$binfmt/register" ] || mount -t binfmt_misc binfmt_misc "$binfmt" || return 1
  [ -e "$binfmt/register" ] || fail "mounted, yet there is no register file"
}

enable_binfmt() { echo 1 >"$binfmt/status"; }

# The kernel wants one write(2) for an entry. printf '%s' of every shell makes one; echo would expand the escapes.
enter() { printf '%s' "$1" >"$binfmt/register"; }
drop() { [ ! -e "$binfmt/$1" ] || echo -1 >"$binfmt/$1"; }

# counts PROGRAM ARGC: runs the program with ARGC arguments in the empty chroot. True if its exit status is ARGC; if
# not, sets `wrong` to its exit status.
counts() {
  program=$1 wanted=$2
  set --
  while [ $(($# + 1)) -lt "$wanted" ]; do set -- "$@" x; done
  chroot "$work/root" "/$program" "$@" </dev/null >/dev/null 2>&1
  wrong=$?
  [ "$wrong" -eq "$wanted" ] && wrong=
}

# handler NAME ARGC OPTIONAL then INTERPRETER LINE STANDBY TRIAL for each choice of emulator and flags, best first.
# 1. Each choice is tried under a magic that only our own program has: a bad emulator never runs another program.
# 2. A standby entry with the real magic takes over, the old entry is removed, the new one registered, the standby
#    removed. Programs are never without a handler, and after a failure the old handler is still there.
# `was` is the line of somebody else's entry of that name, if there is one.
handler() {
  name=$1 argc=$2 optional=$3; shift 3
  line='' lacking=''
  while [ $# -gt 0 ]; do
    if [ -f "$1" ]; then
      emulator=$1
      drop "$name.trial"
      if enter "$4"; then
        note=
        if counts trial "$argc"; then drop "$name.trial"; break; fi
        drop "$name.trial"
      else
        wrong=
        note="$emulator: the kernel refused the entry: $(tail -n 1 "$work/log")"
      fi
    else
      case ", $lacking," in *", $1,"*) ;; *) lacking="$lacking${lacking:+, }$1" ;; esac
    fi
    shift 4
  done
  if [ $# -eq 0 ]; then
    [ -z "$emulator" ] || return 1
    [ "$optional" = no ] || { note="skipped: there is no $lacking"; return 0; }
    fail "there is no $lacking"; return 1
  fi
  [ -z "$was" ] || recorded "handler$tab$name" || remember "$was" was "$name" || return 1
  remember '' handler "$name" || return 1
  if [ -e "$binfmt/$name.standby" ] && [ ! -e "$binfmt/$name" ]; then
    enter "$2" || return 1 # an interrupted run left the standby, which has been the handler until now
  else
    drop "$name.standby"
    enter "$3" || return 1
    if ! counts probe "$argc"; then
      drop "$name.standby"; fail "$name is left as it was"; return 1
    fi
    if ! drop "$name" || ! enter "$2"; then
      fail "could not register $name; $name.standby stands in for it"; return 1
    fi
  fi
  drop "$name.standby"
  counts probe "$argc" || return 1
  line=$2
}

# rule PATH HEADER LINE: writes the line of the choice that worked; nothing if none did.
rule() {
  [ -n "$3" ] || { note="skipped: its handler is not there"; return 0; }
  { printf '%s' "$2"; printf '%s\n' "$3"; } >"$work/text" && put "$1" 0644 <"$work/text"
}

group() { remember '' group "$1" && add_group "$1"; }
add_group() { if command -v groupadd >/dev/null; then groupadd --system "$1"; else addgroup -S "$1"; fi; }
# member GROUP USER OPTIONAL. usermod knows only the users of /etc/passwd, gpasswd those of NSS too (LDAP, SSSD).
member() {
  if id "$2" >/dev/null && remember '' member "$1" "$2" && add_member "$1" "$2"; then return; fi
  [ "$3" = no ] || { note="skipped: $2 could not be added: $(tail -n 1 "$work/log")"; return 0; }
  return 1
}
add_member() {
  if command -v usermod >/dev/null; then usermod -a -G "$1" "$2" && return; fi
  if command -v gpasswd >/dev/null; then gpasswd -a "$2" "$1" && return; fi
  command -v addgroup >/dev/null && addgroup "$2" "$1"
}

matches() { [ "$(digest "$1")" = "$2" ]; }

# exact: sets `dd` to one that takes no byte more from a pipe than it is asked for, as those of GNU and busybox. uutils'
# reads ahead before its version 0.1, and what it read is lost.
exact() {
  for dd in dd /usr/bin/dd /bin/dd gnudd 'busybox dd'; do
    [ "$(printf abc | { $dd bs=1 count=1 >/dev/null 2>&1; cat; })" != bc ] || return 0
  done
  echo "no dd of this host copies as many bytes as it is told: install GNU coreutils or a newer uutils" >&2
  return 1
}

# receive SHA256 LENGTH: appends exactly LENGTH bytes from the channel to the part in the cache, which stays for the
# next run if the link breaks or the disk is full. At the end of the channel dd ends without an error, so the size is
# compared.
receive() {
  exact 2>"$work/dd" || return 1
  part={{ paths.CACHE }}/$1.part
  { mkdir -p {{ paths.CACHE }} && : >>"$part"; } 2>"$work/dd" || return 1
  there=$(wc -c <"$part") whole=$(($2 / 65536)) rest=$(($2 % 65536))
  { [ "$whole" -eq 0 ] || $dd bs=65536 count="$whole" iflag=fullblock; } 2>"$work/dd" >>"$part" <&8 \
    && { [ "$rest" -eq 0 ] || $dd bs="$rest" count=1 iflag=fullblock; } 2>>"$work/dd" >>"$part" <&8
  [ "$(wc -c <"$part")" -eq $((there + $2)) ] && : >"$work/arrived-$1"
}

# Waits for all uploads. A trapped signal (a stop) ends `wait` early, hence the loop.
arrival() {
  while [ -n "$receiver" ] && kill -0 "$receiver" 2>/dev/null; do wait "$receiver"; done
}

# get URL FILE: resumes where FILE ends. GNU wget -q hides errors too; busybox wget has only -q.
get() {
  if command -v curl >/dev/null; then curl -fsSL --retry 3 -C - -o "$2" "$1"; return; fi
  if wget --help 2>&1 | grep -q -e --no-verbose; then quiet=-nv; else quiet=-q; fi
  wget "$quiet" -c -O "$2" "$1"
}

# download URL SHA256: tries again once, from where the first try ended. From the start only if the server cannot
# resume (curl 22, 33, 36; wget 8, 1). After a network failure the part stays for the next run.
download() {
  folders {{ paths.CACHE }} && part={{ paths.CACHE }}/$2.part || return 1
  if [ -f "$part" ] && matches "$part" "$2"; then return 0; fi
  get "$1" "$part" || get "$1" "$part" || case $? in
    22|33|36|8|1) rm -f "$part"; get "$1" "$part" ;;
    *) false ;;
  esac || {
    [ -s "$part" ] || rm -f "$part"
    fail "the download of $1 failed: $(tail -n 1 "$work/log")"
  }
}

# obtain NAME SHA256 LENGTH URL: the file is in the cache, whole and verified; from an earlier run, the URL, or the
# LENGTH bytes of it that follow on the channel.
obtain() {
  file={{ paths.CACHE }}/$2
  if [ -f "$file" ]; then
    if matches "$file" "$2"; then return 0; fi
    rm -f "$file" # every later run would find it, and send nothing
  fi
  if [ -n "$4" ]; then download "$4" "$2" || return 1
  elif [ "$3" -gt 0 ]; then
    arrival
    [ -e "$work/arrived-$2" ] || {
      reason=$(grep -v -e records -e copied "$work/dd" 2>/dev/null)
      fail "the bytes of $1 did not arrive whole${reason:+: $reason}"; return 1
    }
  fi
  matches "$file.part" "$2" || { rm -f "$file.part"; fail "$1 is not the file it should be: its sha256 differs"; return 1; }
  mv -f "$file.part" "$file"
}

# interpreter PATH SHA256 LENGTH: installs an emulator that was sent. Its path holds its digest: it replaces no other.
interpreter() {
  obtain "$1" "$2" "$3" '' || return 1
  folders "${1%/*}" && remember '' emulator "$1" && chmod 755 "$file" && settle "$file" && mv -f "$file" "$1" \
    && relabel "${1%/*/*}"
}

# relabel PATH: a file that was moved keeps the SELinux label of where it was: what has /var's may not be run at boot.
relabel() { ! command -v restorecon >/dev/null || restorecon -F -R "$1"; }

# release FOLDER ARCHIVE SHA256 HEADER LENGTH URL: verifies the archive, then lists its members, then unpacks it beside
# the folder and renames.
release() {
  folder=$1 sha256=$3
  obtain "$2" "$3" "$5" "$6" || return 1
  folders {{ paths.RELEASES }} && remember '' release "$folder" || return 1
  aside=$(mktemp -d {{ paths.RELEASES }}/.incoming.XXXXXX) || return 1
  unpack "$file" "$aside" "$2" "$4" && printf '%s\n' "$sha256" >"$aside/{{ paths.DIGEST }}" && manifest "$aside" \
    && chmod 755 "$aside" && { sync -f "$aside" 2>/dev/null || sync; } && swap "$aside" "$folder" && rm -f "$file" && return 0
  rm -rf "$aside" "$file"; return 1
}

# manifest FOLDER: what the facts script compares the programs with (templates/facts/basis.sh).
manifest() {
  (cd "$1/bin" && for program in *; do
    digest=$(sha256sum <"$program") && state=$(stat -c '%n %a %u %s %Y' "$program") || exit 1
    printf '%s %s\n' "$state" "${digest%% *}"
  done) >"$1/{{ paths.MANIFEST }}"
}

# swap NEW FOLDER: the new release has the folder's name. Where one is there already, a daemon may run from it: each
# program is renamed over the one that it replaces, so that no moment is without a program.
swap() {
  if [ -d "$2/bin" ] && [ ! -h "$2" ] && [ ! -h "$2/bin" ]; then merge "$1" "$2"; return; fi
  { [ ! -e "$2" ] && [ ! -h "$2" ]; } || mv "$2" "$1.old" || return 1
  mv "$1" "$2" || { mv "$1.old" "$2"; return 1; }
  rm -rf "$1.old"
}

# merge NEW FOLDER: the digest, which says that the release is whole, comes last. A run that is cut leaves the old one, if
# there is one: then it is the manifest that shows what is not whole yet.
merge() {
  for each in "$2/bin"/* "$2/bin"/.[!.]*; do
    if [ ! -f "$1/bin/${each##*/}" ] || [ -d "$each" ]; then rm -rf "$each" || return 1; fi
  done
  for each in "$1/bin"/* "$1/bin"/.[!.]*; do
    [ ! -f "$each" ] || mv -f "$each" "$2/bin/${each##*/}" || return 1
  done
  chown root:root "$2" "$2/bin" && chmod 755 "$2" "$2/bin" || return 1
  for each in {{ paths.MANIFEST }} {{ paths.DIGEST }}; do
    [ ! -d "$2/$each" ] || rm -rf "${2:?}/$each" || return 1
    mv -f "$1/$each" "$2/$each" || return 1
  done
  { sync -f "$2" 2>/dev/null || sync; } && rm -rf "$1"
}

# A release holds bin/ and plain files in it. Anything else (absolute or .. members, links, devices) is refused
# before a byte is written.
unpack() {
  bad=$(tar -tzf "$1" | grep -v -x -e 'bin/' -e '\(\./\)\{0,1\}bin/[A-Za-z0-9._-]*' | head -n 1)
  [ -z "$bad" ] || { fail "$3 holds $bad, which has no place in a release"; return 1; }
  # busybox shows a hard link as a file with an arrow. No name has an arrow: names were checked above.
  bad=$(tar -tvzf "$1" | grep -e '^[^-d]' -e ' -> ' -e ' link to ' | head -n 1)
  [ -z "$bad" ] || { fail "$3 holds a link or device, which has no place in a release"; return 1; }
  tar -xzf "$1" -C "$2" -o || { fail "$3 could not be unpacked: $(tail -n 1 "$work/log")"; return 1; }
  for program in buildkitd buildctl; do
    [ -x "$2/bin/$program" ] || { fail "$3 holds no $program"; return 1; }
  done
  # root's tar restores every bit: setuid, writable for all.
  chmod 755 "$2/bin" "$2"/bin/* || return 1
  # With a handler a program of another machine would run too, ten times slower.
  # shellcheck disable=SC2254 # a pattern it is
  case $(od -An -v -tx1 -N20 "$2/bin/buildkitd" | tr -d ' \n') in
    $4) ;;
    *) fail "its buildkitd is not made for this machine"; return 1 ;;
  esac
  # Its output, not its status: sh tries to run a program of another machine as a script, and may succeed.
  case $("$2/bin/buildkitd" --version) in
    'buildkitd '*) ;;
    *) fail "its buildkitd does not run on this machine" ;;
  esac
}

# A symlink cannot be changed in place. Renaming a new one over it leaves no moment without a link.
link() {
  folders "${1%/*}" && ln -sfn -- "$2" "$1.new" || return 1
  if ! keep "$1" || ! remember '' link "$1"; then rm -f "$1.new"; return 1; fi
  # mv would move the link into the folder that the old link names. Old busybox has no -T: there the new one gets its name
  # elsewhere, and is moved into the folder of the old one.
  mv -fT "$1.new" "$1" 2>/dev/null || {
    near=$(mktemp -d "${1%/*}/.provision.XXXXXX") || return 1
    mv -f "$1.new" "$near/${1##*/}" && mv -f "$near/${1##*/}" "${1%/*}/" && rmdir "$near" && return
    rm -rf "$near"; return 1
  }
}

# tell MANAGER VERB SERVICE
tell() {
  case $2 in
    enable) remember '' enabled "$1" "$3" ;;
  esac && "tell_$1" "$2" "$3" || return 1
  [ "$2" != disable ] || forget enabled "$1" "$3"
}

{% for manager in managers %}
{% include "services/" ~ manager ~ ".sh" %}

{% endfor %}
{% include "workplace.sh" %}

{% include "host/lock.sh" %}


{% include "host/record.sh" %}


{% include "host/packages.sh" %}


{% include "host/daemon.sh" %}


{% include "host/remove.sh" %}


aside='' receiver='' work='' taken=''
# Not before all uploads have arrived: their rest would be taken for the next request.
trap 'arrival; rm -rf ${work:+"$work"} ${aside:+"$aside"}; unlock' EXIT
trap 'exit 1' HUP INT TERM
lock {{ claim.token | q }} {{ claim.who | q }} {{ claim.seen | q }} || exit 1
workplace '' || exit 1
# By this the next run knows that the folder was left, should this one be killed.
printf '%s %s\n' $$ "$ours" >"$work/change"
# The channel gets a descriptor of its own, so that no command of a step reads from it. Uploads are received at once,
# while the steps run: unread bytes would hold up a stop, or the end of the link, behind them.
exec 8<&0 </dev/null
exec 5>&1
{% if lengths %}
folders {{ paths.CACHE }} 2>/dev/null
{% endif %}
{% for step in steps if lengths.get(step.id) %}
{% if loop.first %}
{
{% endif %}
  receive {{ step.sha256 | q }} {{ lengths[step.id] }}{{ " &&" if not loop.last }}
{% if loop.last %}
} >/dev/null 2>&1 &
receiver=$!
{% endif %}
{% endfor %}
exec 8<&-

{% for step in steps %}
{% if step.kind == "packages" %}
run {{ step.id | q }} yes apart install {{ step.manager | q }} {{ "yes" if step.removes else "no" }} {{ step.instead | q }} {{ step.packages | q }}
{% elif step.kind == "runc" %}
run {{ step.id | q }} yes apart runtime {{ step.manager | q }} {{ step.oldest | q }}
{% elif step.kind == "interpreter" %}
run {{ step.id | q }} yes interpreter {{ step.path | q }} {{ step.sha256 | q }} {{ lengths.get(step.id, 0) }}
{% elif step.kind == "mount" %}
run {{ step.id | q }} yes apart mount_binfmt {{ step.manager | q }}
{% elif step.kind == "enable-binfmt" %}
run {{ step.id | q }} yes enable_binfmt
{% elif step.kind == "handler" %}
printf '{{ step.probe }}' >"$work/root/probe"; printf '{{ step.trial_probe }}' >"$work/root/trial"
chmod 755 "$work/root/probe" "$work/root/trial"
line='' was={{ step.was | q }}
run {{ step.id | q }} no handler {{ step.name | q }} {{ step.argc }} {{ "yes" if step.optional else "no" }}{% for variant in step.variants %} \
  {{ variant.interpreter | q }} {{ variant.line | q }} {{ variant.standby | q }} {{ variant.trial | q }}{% endfor %}

line_{{ step.qemu }}=$line
{% elif step.kind == "rule" %}
{% if not step.follows %}
line_{{ step.qemu }}={{ step.line | q }}
{% endif %}
run {{ step.id | q }} no rule {{ step.path | q }} {{ step.header | q }} "$line_{{ step.qemu }}"
{% elif step.kind == "file" %}
run {{ step.id | q }} yes file {{ step.path | q }} {{ step.mode | q }} {{ step.content | q }}
{% elif step.kind == "tidy" %}
run {{ step.id | q }} no tidy {{ step.handlers | join(" ") | q }} {{ step.paths | q }}
{% elif step.kind == "record" %}
run {{ step.id | q }} yes remember_all {{ step.lines | q }}
{% elif step.kind == "group" %}
run {{ step.id | q }} yes group {{ step.group | q }}
{% elif step.kind == "member" %}
run {{ step.id | q }} yes member {{ step.group | q }} {{ step.user | q }} {{ "yes" if step.optional else "no" }}
{% elif step.kind == "release" %}
run {{ step.id | q }} yes release {{ step.folder | q }} {{ step.archive | q }} {{ step.sha256 | q }} {{ step.header | q }} {{ lengths.get(step.id, 0) }} {{ (step.url or '') | q }}
{% elif step.kind == "link" %}
run {{ step.id | q }} yes link {{ step.path | q }} {{ step.to | q }}
{% elif step.kind == "drain" %}
{% if step.only_after %}run_after {{ step.only_after | join(" ") | q }} {% else %}run {% endif %}{{ step.id | q }} yes drain {{ step.seconds }}
{% elif step.kind == "save" %}
run {{ step.id | q }} yes save {{ step.generation | q }} {{ step.version | q }} {{ step.folder | q }} {{ step.files | q }}
{% elif step.kind == "start" %}
{% if step.only_after %}run_after {{ step.only_after | join(" ") | q }} {% else %}run {% endif %}{{ step.id | q }} yes apart restart {{ step.manager | q }} {{ step.service | q }} {{ step.generation | q }} {{ step.back | q }} {{ step.copy_for | q }} {{ step.platforms | q }}
{% elif step.kind == "remove-tree" %}
run {{ step.id | q }} no remove_tree {{ step.entry | q }} {{ step.path | q }}
{% elif step.kind == "remove-file" %}
run {{ step.id | q }} no remove_file {{ step.file_kind | q }} {{ step.path | q }}
{% elif step.kind == "remove-handler" %}
run {{ step.id | q }} no remove_handler {{ step.name | q }} {{ step.was | q }}
{% elif step.kind == "remove-folders" %}
run {{ step.id | q }} no remove_folders {{ step.folders | q }}
{% elif step.kind == "remove-packages" %}
run {{ step.id | q }} no apart remove_packages {{ step.manager | q }} {{ step.packages | q }}
{% elif step.kind == "remove-group" %}
run {{ step.id | q }} no remove_group {{ step.group | q }}
{% elif step.kind == "remove-record" %}
run {{ step.id | q }} no remove_record
{% elif step.kind == "service" %}
run {{ step.id | q }} yes apart tell {{ step.manager | q }} {{ step.verb | q }} {{ step.service | q }}
{% endif %}
{% endfor %}
[ "$failures" -eq 0 ]
