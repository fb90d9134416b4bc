#!/bin/sh
# Builds for each platform through the real daemon, and may time a small workload of each: prints records.
#   building <tab> platform                                 a build begins
#   work <tab> name <tab> status <tab> nanoseconds          CPU time of an architecture's workload in an empty chroot
#   damage <tab> program                                    one of the release that is not as it was unpacked
#   build <tab> platform <tab> status <tab> nanoseconds     a build; the lines of its end follow, each with "|" before it
# Runs in dash, bash and busybox sh, with coreutils or busybox. Leaves only the daemon's history behind.
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 022

# Sets `moment` to nanoseconds since 1970; without %N (busybox) since boot, in steps of 10 ms.
now() {
  moment=$(date +%s%N)
  case $moment in
    *[!0-9]*) read -r moment _ </proc/uptime; moment=${moment%.*}${moment#*.}0000000 ;;
  esac
}

{% include "workplace.sh" %}

# Sets `moment` to the CPU time of all children of this shell in microseconds, which does not depend on other load. The
# second line of `times` has it, as 0m1.230000s with any number of digits. In a subshell it would be 0.
spent() {
  times >"$work/times"
  { read -r _; read -r moment _; } <"$work/times"
  minutes=${moment%%m*} seconds=${moment#*m}
  fraction=${seconds#*.}; fraction=${fraction%s}000000; fraction=${fraction%"${fraction#??????}"}
  # A leading zero would make it octal.
  moment=$(((minutes * 60 + ${seconds%%.*}) * 1000000 + 1$fraction - 1000000))
}

# work_of NAME: runs a workload, whose status is the number of its arguments, 4. Three times, as ticks are 10 ms.
work_of() {
  spent; begun=$moment
  for _ in 1 2 3; do
    chroot "$work/root" "/w-$1" x x x </dev/null >/dev/null 2>&1
    status=$?
    [ "$status" -eq 4 ] || break
  done
  spent
  printf 'work\t%s\t%s\t%s\n' "$1" "$status" $(((moment - begun) * 1000))
}

# The program exits with the number of its arguments: 256, of which the kernel keeps 0. One argument is new in each
# run, so that no build comes from the cache.
context() {
  words=
  count=2
  while [ $count -lt 256 ]; do words=$words', "x"'; count=$((count + 1)); done
  mkdir "$work/$1"
  printf 'FROM scratch\nCOPY program /program\nRUN ["/program"%s, "{{ nonce }}"]\n' "$words" >"$work/$1/Dockerfile"
  cat "$work/root/p-$1" >"$work/$1/program" && chmod 755 "$work/$1/program"
}

build() {
  platform=$1 folder=$work/$2
  printf 'building\t%s\n' "$platform"
  now; begun=$moment
  timeout {{ timeout }} "$client" --addr {{ ('unix://' ~ paths.SOCKET) | q }} build --progress plain \
    --frontend dockerfile.v0 --local context="$folder" --local dockerfile="$folder" --no-cache \
    --opt platform="$platform" </dev/null >"$work/log" 2>&1
  status=$?
  now
  printf 'build\t%s\t%s\t%s\n' "$platform" "$status" $((moment - begun))
  [ "$status" -eq 0 ] || { : >"$work/failed"; tail -n 40 "$work/log" | sed 's/^/|/'; }
}

trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
work=
workplace '' || exit 1
client={{ paths.CLIENT }}
[ -x "$client" ] || client=$(command -v buildctl) || client=false

{% for program in programs %}
printf '{{ program.probe }}' >"$work/root/p-{{ program.name }}"
{% if measure %}
printf '{{ program.work }}' >"$work/root/w-{{ program.name }}"
{% endif %}
chmod 755 "$work"/root/*
context {{ program.name }}
{% endfor %}
{% if measure %}
# All of their bytes: each look at the facts compares size, mode and time (templates/facts/basis.sh).
if [ -r {{ paths.CURRENT }}/{{ paths.MANIFEST }} ]; then
  while read -r name _ _ _ _ digest; do
    same=$(sha256sum <"{{ paths.PROGRAMS }}/$name")
    [ "${same%% *}" = "$digest" ] || printf 'damage\t%s\n' "$name"
  done 2>/dev/null <{{ paths.CURRENT }}/{{ paths.MANIFEST }}
fi
# Twice, with all others in between: a short disturbance spoils only one of the two.
{% for _ in range(2) %}
{% for program in programs %}
work_of {{ program.name }}
{% endfor %}
{% endfor %}
{% endif %}
{% for program in programs %}
{% for platform in program.platforms %}
build {{ platform | q }} {{ program.name }}
{% endfor %}
{% endfor %}
{% if generation %}
# What a later run need not prove again.
rm -f {{ paths.PROOF }}
[ -e "$work/failed" ] || {
  mkdir -p {{ paths.OWN }} && printf '%s %s\n' {{ generation | q }} {{ platforms | join(',') | q }} >{{ paths.PROOF }}.new \
    && mv -f {{ paths.PROOF }}.new {{ paths.PROOF }}
}
{% endif %}
printf 'end\n'
