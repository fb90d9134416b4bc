{# What the next boot does with binfmt.d besides reading it. For templates/probe.sh. #}
# loader: why the service that loads binfmt.d would not start at boot. systemd itself judges its conditions: before 253
# (systemd#25693) one is that /proc/sys is writable, which it is not in containers, and others add theirs by drop-ins
# (microsoft/WSL#12013). Asked only where it may not start, as that takes systemd 30 ms.
loader() {
  unit={{ paths.SYSTEMD_BINFMT }} whole='' parts=''
  for folder in {{ paths.UNIT_FOLDERS | q }} /run/systemd/system; do
    [ ! -f "$folder/$unit" ] || whole=$folder/$unit
    for path in "$folder/$unit.d/"*.conf "$folder/service.d/"*.conf; do
      [ ! -f "$path" ] || parts="$parts${path##*/}$tab$path$newline"
    done
  done
  case $whole in /etc/*|/run/*) ;; *) [ -n "$parts" ] || [ "$settings" = ro ] || return 0 ;; esac
  said=$(SYSTEMD_LOG_TARGET=console systemd-analyze condition --unit="$unit" 2>&1)
  case $said in
    *'onditions '*|*'sserts '*) ;;
    *) # Before systemd 250: the lines of the unit and of its drop-ins, by name; an empty value removes those before it.
      set --
      while IFS= read -r line; do
        case $line in
          Condition*=) set -- ;;
          Condition*=*) set -- "$@" "$line" ;;
        esac
      done <<END-OF-UNIT
$(cat "$whole"; printf '%s' "$parts" | sort | while IFS=$tab read -r _ path; do cat "$path"; done)
END-OF-UNIT
      said=$(SYSTEMD_LOG_TARGET=console systemd-analyze condition "$@" 2>&1) ;;
  esac
  printf '%s\n' "$said" | while IFS= read -r line; do
    case $line in
      # Our rules will be in one of the folders, and the table is mounted by then.
      *'=|'*|*'=!|'*|*ConditionPathIsMountPoint={{ paths.BINFMT }}*) ;;
      *': Condition'*' failed.'|*': Assert'*' failed.')
        line=${line#*: } line=${line% failed.}
        from=$(printf '%s' "$parts" | while IFS=$tab read -r _ path; do grep -q -F -e "$line" "$path" && echo "$path"; done | tail -n 1)
        record loader "$line" "${from:-$whole}" ;;
    esac
  done
}

# binfmts: the handlers that Debian's binfmt-support registers at boot, by name, and whether it does so before
# systemd-binfmt, which drops all (Ubuntu 22.04).
binfmts() {
  for path in /var/lib/binfmts/*; do
    [ -f "$path" ] && record binfmts "${path##*/}"
  done
  support={{ paths.BINFMT_SUPPORT_UNIT }}
  [ ! -f "$support" ] || grep -q systemd-binfmt "$support" || record binfmts-order early
}
{#- #}
