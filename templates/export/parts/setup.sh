{% include "export/parts/head.sh" %}
{% include "export/parts/root.sh" %}
{% include "export/parts/install.sh" %}
# Emulators, and BuildKit {{ version | q }}: what is downloaded for it is kept for the next run.
$become env XDG_CACHE_HOME="$HOME/.provision" "$tools/bin/provision" provision
[ -z "$become" ] || sudo chown -R "$(id -u)" "$HOME/.provision"
