{# Takes away what the record says is this tool's, and brings back what was there before. For templates/apply.sh. -#}
# remove_file KIND PATH: a file or link of ours; what was kept from before comes back. One that is somebody else's by now
# stays as it is.
remove_file() {
  if [ -h "$2" ]; then [ "$1" = link ] || { forget file "$2"; note="left, as it is a link of somebody else"; return 0; }
  elif [ -e "$2" ] && ! { [ "$1" = file ] && ours "$2"; }; then
    forget "$1" "$2" && forget kept "$2" || return 1
    note="left, as it is not this tool's any more"; return 0
  fi
  kept=$2{{ paths.KEPT }}
  if recorded "kept$tab$2" && { [ -e "$kept" ] || [ -h "$kept" ]; }; then
    mv -f "$kept" "$2" || return 1
    note="what was there before is back"
  else
    rm -f "$2" || return 1
  fi
  case $2 in {{ paths.UNITS_OF_THE_MACHINE }}/*) [ ! -d /run/systemd/system ] || systemctl daemon-reload ;; esac
  forget "$1" "$2" && forget kept "$2"
}

# tidy HANDLERS PATH...: what a run that was killed has left. The packages that it brought are written down first.
tidy() {
  for each in $1; do drop "$each" || return 1; done
  shift
  finish_packages && conclude_packages || return 1
  for each do rm -rf "$each" || return 1; done
}

# remove_tree KIND PATH: a folder of ours with all in it, or a file.
remove_tree() {
  rm -rf "$2" && forget "$1" "$2"
}

# remove_handler NAME WAS: the handler that was there before comes back, if its emulator is there.
remove_handler() {
  drop "$1.standby"; drop "$1.trial"
  if [ -e "$binfmt/register" ]; then
    drop "$1" || return 1
    [ -z "$2" ] || { enter "$2" && note="the handler of before is back"; } || note="the handler of before was refused: $(tail -n 1 "$work/log")"
  fi
  forget handler "$1" && forget was "$1"
}

# remove_folders PATH...: those that are empty; the deepest comes first.
remove_folders() {
  for each do
    [ ! -d "$each" ] || rmdir "$each" 2>/dev/null || { note="${note:+$note; }$each is not empty"; }
    forget folder "$each" || return 1
  done
}

# remove_packages MANAGER NAME...: by the tools that refuse what others depend on.
remove_packages() {
  manager=$1; shift
  case $manager in
    apt-get) dpkg --purge "$@" ;;
    dnf|zypper) rpm -e "$@" ;;
    apk) apk del --quiet "$@" ;;
    pacman) pacman -R --noconfirm "$@" ;;
  esac || return 1
  for name do forget package "$manager" "$name" || return 1; done
}

# remove_group NAME: its members are its own.
remove_group() {
  if command -v groupdel >/dev/null; then groupdel "$1"; else delgroup "$1"; fi \
    || { command -v getent >/dev/null && ! getent group "$1"; } || return 1
  forget group "$1" && { ! recorded "member$tab$1" || lines_without "member$tab$1" | write_record; }
}

# remove_record: what a run needs of its own; with the record if nothing is in it any more.
remove_record() {
  rm -rf "$saved" "$saved.new" "$older" "$own_folder"/state-of-* "$own_folder/packages-before" || return 1
  while IFS= read -r each; do
    case $each in '#'*|'') ;; *) return 0 ;; esac
  done <"$record_file"
  rm -rf "$own_folder"
}
{#- #}
