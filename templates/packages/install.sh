{# Installs packages by each package manager. For templates/apply.sh. #}
# packages MANAGER REMOVES INSTEAD NAME...: installs the packages; INSTEAD where there is none of the NAME. Others are
# removed for them only where REMOVES is "yes": the plan said which. If that fails, the manager's own words are the note.
packages() {
  manager=$1 removes=$2 instead=$3; shift 3
  case $manager in
    apt-get) apt "$@" ;;
    dnf) dnf -y -q install "$@" || absent 'No match for argument' 'Unable to find a match' ;;
    apk) apk add --quiet "$@" || { apk update --quiet && apk add --quiet "$@"; } || said ERROR: ;;
    # `pacman -Sy` and then -S would leave a system that is upgraded in part, which Arch does not support.
    pacman) pacman -S --noconfirm --needed --quiet "$@" || {
      said error:
      grep -q -e 'target not found' -e 'failed retrieving' -e 'could not find' "$work/log" || return 1
      fail "$note: pacman's lists are missing or old: pacman -Syu first"
    } ;;
    zypper) zypper --non-interactive --quiet install --no-recommends "$@" || absent 'No provider of' 'not found' ;;
  esac
}

# said WORD...: the note is what the manager said last after each word; false.
said() {
  note=
  for word do
    note=$(sed -n "s/^$word *//p" "$work/log" | tail -n 2 | sort -u | tr '\n' ' ')
    note=${note% }
    [ -z "$note" ] || break
  done
  [ -n "$note" ] || note=$(tail -n 1 "$work/log")
  return 1
}

# absent WORDS...: as the manager said it, and what helps where no repository has the emulators.
absent() {
  for words do
    reason=$(grep -F "$words" "$work/log" | tail -n 1)
    [ -z "$reason" ] || { fail "$reason (this machine can send its own: [emulation] interpreters = \"send:...\")"; return 1; }
  done
  said Error: ' Problem:' error:
}

apt() {
  # The lists may be missing or old: they are fetched if the install fails. An index that cannot be fetched (exit 100)
  # is no reason to stop: the install shows whether it was needed.
  case $(real "$1") in virtual) set -- "$instead" ;; esac
  apt_install "$@" && return
  fetched=$(apt-get -q update 2>&1)
  printf '%s\n' "$fetched" | sed 's/^/  /'
  [ "$(real "$1")" = real ] || [ -z "$instead" ] || set -- "$instead"
  apt_install "$@" && return
  said E:
  case $fetched in
    *'Failed to fetch'*) note="$note (apt-get update could not fetch its lists: is the network there?)" ;;
  esac
  return 1
}

apt_install() {
  keep=--no-remove
  [ "$removes" = no ] || keep=--yes
  DEBIAN_FRONTEND=noninteractive apt-get --yes -q -o DPkg::Lock::Timeout=300 \
    install --no-install-recommends "$keep" "$@"
}

{% include "packages/real.sh" %}
