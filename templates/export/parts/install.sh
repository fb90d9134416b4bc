# This tool, of this version.
if ! [ -x "$tools/bin/provision" ]; then
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null || ! command -v git >/dev/null; then
    $become apt-get update -qq
    $become env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends git python3-venv
  fi
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check {{ tool | q }}
fi
# The configuration that this file was made from.
$become mkdir -p /etc/provision
$become tee /etc/provision/provision.toml >/dev/null <<'END-OF-CONFIGURATION'
{{ configuration | heredoc('END-OF-CONFIGURATION') -}}
END-OF-CONFIGURATION
