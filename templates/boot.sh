{# Reads session.sh ({{ size }} bytes) from the channel and becomes it. Says that it is there first; then throws away
   lines up to the nonce: the first is for a shell that stands here in place of this one (provision/transport/become.py). #}
echo {{ nonce }} ready; until [ "$line" = {{ nonce }} ]; do read -r line || exit; done; eval "$(dd bs={{ size }} count=1 iflag=fullblock 2>/dev/null)"
{#- #}
