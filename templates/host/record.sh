{# The record on a host of what this tool made, installed and replaced there, and the keeping of what is somebody else's.
   For templates/apply.sh; provision/facts/host_record.py has the words. -#}
record_file={{ paths.RECORD }}
own_folder={{ paths.OWN }}

# write_record: its lines come on standard input. It is replaced whole, and reaches the disk before what it tells of.
write_record() {
  fresh=$(mktemp "$own_folder/.provision.XXXXXX") || return 1
  if { printf '%s\n' {{ record_header | q }}; cat; } >"$fresh" && chmod 644 "$fresh" && settle "$fresh" \
    && mv -f "$fresh" "$record_file"; then return 0; fi
  rm -f "$fresh"; return 1
}

# settle FILE: its bytes are on the disk. A file that is renamed before that may be empty after a loss of power (ext4(5),
# auto_da_alloc is for files that are replaced).
settle() { sync "$1" 2>/dev/null || sync; }

# lines_without ENTRY: the lines of the record but those of an entry, which is its words with tabs between.
lines_without() {
  [ -f "$record_file" ] || return 0
  while IFS= read -r each || [ -n "$each" ]; do
    case $each in '#'*|"$1"|"$1$tab"*) ;; *) printf '%s\n' "$each" ;; esac
  done <"$record_file"
}

# recorded ENTRY [MORE]: whether the record has the entry, with that after it.
recorded() {
  [ -f "$record_file" ] || return 1
  while IFS= read -r each || [ -n "$each" ]; do
    case $each in "$1${2:+$tab$2}") return 0 ;; "$1$tab"*) [ -n "${2:-}" ] || return 0 ;; esac
  done <"$record_file"
  return 1
}

# entry WORD...: sets `entry` to the words with tabs between.
entry() {
  entry=$1; shift
  for word do entry=$entry$tab$word; done
}

# remember MORE WORD...: the entry of these words is in the record, with MORE after it if that is not empty.
remember() {
  more=$1; shift
  entry "$@"
  ! recorded "$entry" "$more" || return 0
  mkdir -p "$own_folder" || return 1
  { lines_without "$entry"; printf '%s\n' "$entry${more:+$tab$more}"; } | write_record
}

# forget WORD...: the entry of these words is not in the record.
forget() {
  entry "$@"
  ! recorded "$entry" || lines_without "$entry" | write_record
}

# remember_all LINE...: for what an earlier version of this tool made.
remember_all() {
  mkdir -p "$own_folder" || return 1
  for line do
    kind=${line%%"$tab"*} rest=${line#*"$tab"}
    case $kind in
      file) remember "${rest#*"$tab"}" file "${rest%%"$tab"*}" ;;
      *) remember '' "$line" ;;
    esac || return 1
  done
}

# folders PATH: makes the folder, and those above it that are missing; all of them are ours.
folders() {
  [ ! -d "$1" ] || return 0
  [ -z "${1%/*}" ] || folders "${1%/*}" || return 1
  remember '' folder "$1" && mkdir "$1"
}

digest() { sha256sum <"$1" | cut -d ' ' -f 1; }

# ours PATH: whether a file is this tool's: it says so, or is as this tool left it. While one is replaced, the record has
# the digests of the new one and of the old one.
ours() {
  case $(head -c 100 "$1" | tr -d '\000') in *'{{ mark }}'*) return 0 ;; esac
  [ -f "$record_file" ] || return 1
  seen=$(digest "$1")
  while IFS= read -r each || [ -n "$each" ]; do
    case $each in "file$tab$1$tab"*) case $each$tab in *"$tab$seen$tab"*) return 0 ;; esac ;; esac
  done <"$record_file"
  return 1
}

# keep PATH: what somebody else has there stays beside it. What was kept before is not written over.
keep() {
  [ -e "$1" ] || [ -h "$1" ] || return 0
  if [ -h "$1" ]; then recorded "link$tab$1" && return 0; elif ours "$1"; then return 0; fi
  kept=$1{{ paths.KEPT }}
  # A run that was cut may have kept it.
  if [ -h "$1" ]; then [ ! -h "$kept" ] || [ "$(readlink "$1")" != "$(readlink "$kept")" ] || return 0
  elif [ ! -h "$kept" ] && [ "$1" -ef "$kept" ]; then return 0; fi
  if [ -e "$kept" ] || [ -h "$kept" ]; then
    many=2
    while [ -e "$kept-$many" ] || [ -h "$kept-$many" ]; do many=$((many + 1)); done
    kept=$kept-$many
  else
    remember '' kept "$1" || return 1
  fi
  # Another name for the same file: owner, mode and times are as they were, and the path is never without a file.
  if [ ! -h "$1" ] && ln "$1" "$kept" 2>/dev/null; then :
  elif [ -f "$1" ] || [ -h "$1" ]; then cp -P -p "$1" "$kept"
  else mv "$1" "$kept"; fi || return 1
  note="${note:+$note; }kept $kept"
}
{#- #}
