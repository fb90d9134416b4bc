# tell_openrc VERB SERVICE: the daemon is started last, handlers as early as OpenRC's own service of that kind.
tell_openrc() {
  level=boot
  [ "$2" != {{ paths.OPENRC_SERVICE }} ] || level=default
  case $1 in
    enable) rc-update add "$2" "$level" ;;
    # Not `delete --all`: that fails for each runlevel that does not have it (OpenRC 0.45).
    disable)
      for level in {{ paths.RUNLEVELS }}/*/"$2"; do
        [ ! -h "$level" ] || { level=${level%/*}; rc-update delete "$2" "${level##*/}" || return 1; }
      done ;;
    *) rc-service --nocolor "$2" "$1" ;;
  esac
}

words_by_openrc() { tail -n 3 {{ paths.LOG }} 2>/dev/null; }

mount_by_openrc() { :; }
