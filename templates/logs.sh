#!/bin/sh
# The service's log, the last builds and what the kernel killed, as records. Changes nothing; as root it sees more.
# Runs in dash, bash and busybox sh, with coreutils or busybox.
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

{% if following %}
{% if journal %}
follow() { exec journalctl --no-pager --quiet --output=short-iso --unit={{ unit | q }} --lines={{ count | q }} --follow 2>&1; }
{% else %}
follow() { exec tail -n {{ count | q }} -F {{ paths.LOG }} 2>&1; }
{% endif %}

# sh runs a trap while it waits, and not before a command in the foreground has ended.
child=
trap 'PROVISION_STOP=1; kill "$child" 2>/dev/null' USR1
follow &
child=$!
[ -z "${PROVISION_STOP:-}" ] || kill "$child"
wait "$child"
# shellcheck disable=SC2317 # after a signal
exit 0
{% else %}
# An empty line at the end, as a last line may have no end of its own.
lines() { sed 's/^/|/'; echo; }

{% if journal %}
show() {
  journalctl --no-pager --quiet --output=short-iso --unit={{ unit | q }} --lines={{ count | q }} {{ since | q }} 2>&1
}
{% else %}
# The file before it is what the last rotation left.
show() { cat {{ paths.LOG }}.1 {{ paths.LOG }} 2>/dev/null | tail -n {{ count | q }}; [ -r {{ paths.LOG }} ] || cat {{ paths.LOG }} 2>&1; }
{% endif %}

history() {
  client={{ paths.CLIENT }}
  [ -x "$client" ] || client=$(command -v buildctl) || return
  [ -S {{ paths.SOCKET }} ] || return
  set -- "$client" --addr {{ ('unix://' ~ paths.SOCKET) | q }} --timeout 10 debug
  answer=$("$@" histories --format '{{ '{{json .}}' }}' 2>&1 </dev/null) || { record=error; }
  printf 'history\t%s\n' "${record:-ok}"
  printf '%s\n' "$answer" | lines
  # The daemon gives them in the order of their refs. A ref is a client's word: plain ones alone.
  printf '%s\n' "$answer" \
    | sed -n 's/.*"record":{"Ref":"\([A-Za-z0-9._-]*\)".*"error":{.*"CreatedAt":{"seconds":\([0-9]*\).*/\2 \1/p' \
    | sort -n | tail -n {{ failed | q }} | while read -r _ ref; do
      [ "$ref" ] || continue
      printf 'output\t%s\n' "$ref"
      "$@" logs --progress plain "$ref" 2>/dev/null </dev/null | tail -n {{ tail | q }} | lines
    done
}

# "Out of memory: Killed process 1 (cc1)" and "Memory cgroup out of memory: Killed process …" (mm/oom_kill.c).
kills() {
  printf 'kills\n'
  { journalctl --dmesg --no-pager --quiet --output=short-iso {{ since | q }} 2>/dev/null | grep -e 'Killed process' \
    || dmesg 2>/dev/null | grep -e 'Killed process'; } | tail -n 20 | lines
  while read -r key value; do
    [ "$key" != oom_kill ] || printf 'killed\t%s\n' "$value"
  done 2>/dev/null </proc/vmstat
}

printf 'log\n'
show | lines
history
kills
{% if settings %}
printf 'environment\n'
cat {{ paths.ENVIRONMENT }} 2>/dev/null | lines
{% endif %}
printf 'end\n'
{% endif %}
