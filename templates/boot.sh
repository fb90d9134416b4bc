{# Reads session.sh ({{ size }} bytes) from the channel and becomes it. Says that it is there first; then throws away
   lines up to the nonce: the first is for a shell that stands here in place of this one (provision/transport/become.py).
   `dd` is one that takes no byte more from a pipe than it is asked for, as those of GNU and busybox. uutils' reads ahead
   before its version 0.1, and what it read is lost. Where all do, the plain one is as good as any: apply.sh says what to install. #}
echo {{ nonce }} ready; until [ "$line" = {{ nonce }} ]; do read -r line || exit; done; for dd in dd /bin/dd gnudd dd; do [ "$(printf abc|{ $dd bs=1 count=1 >/dev/null 2>&1; cat;})" = bc ]&&break;done; eval "$($dd bs={{ size }} count=1 iflag=fullblock 2>/dev/null)"
{#- #}
