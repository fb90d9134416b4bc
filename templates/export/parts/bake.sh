{% include "export/parts/head.sh" %}
{% include "export/parts/root.sh" %}
[ -z "$become" ] || { echo 'an image is baked by root' >&2; exit 1; }
{% include "export/parts/install.sh" %}
# Emulators, and BuildKit {{ version | q }}, enabled for each boot.
"$tools/bin/provision" provision

# What belongs to one machine alone is made by the first boot of each: nothing of it may be in the image.
{% for line in stop %}
{{ line }} 2>/dev/null || :
{% endfor %}
# The daemon's state has an identity, and layers of nobody.
find {{ paths.STATE }} -mindepth 1 -delete 2>/dev/null || :
rm -rf {{ paths.CACHE }} {{ paths.LOG }} {{ paths.LOG }}.1 "$HOME/.provision" "$HOME/.docker/config.json" "$HOME/.local/state/provision"
# Certificates and keys of the daemon, where the configuration names them as the host's own.
{% for path in own_files %}
rm -f {{ path | q }}
{% endfor %}
# systemd makes a machine-id where the file is empty (machine-id(5)); "uninitialized" would run first-boot presets.
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id /var/lib/systemd/random-seed /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
# Host keys come from cloud-init where it runs; else from this unit, before sshd.
if command -v systemctl >/dev/null; then
  cat >{{ paths.HOST_KEYS_UNIT }} <<'END-OF-UNIT'
[Unit]
Description=Makes the SSH host keys of this machine
Before=ssh.service sshd.service
ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
END-OF-UNIT
  ! command -v ssh-keygen >/dev/null || systemctl enable ssh-host-keys.service
fi
! command -v cloud-init >/dev/null || cloud-init clean --logs
! command -v journalctl >/dev/null || journalctl --rotate --vacuum-time=1s >/dev/null 2>&1 || :
! command -v apt-get >/dev/null || { apt-get clean; rm -rf /var/lib/apt/lists/*; }
echo 'the image is ready: power the machine off, and take its disk'
