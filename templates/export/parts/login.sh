{% include "export/parts/head.sh" %}
printf '%s' "$REGISTRY_PASSWORD" | "$tools/bin/provision" login "$REGISTRY" --username "$REGISTRY_USER" --password-stdin
