# Made by `provision export packer`: edit provision.toml and make it anew. Name your own sources.
build {
  sources = ["source.qemu.debian"]

  provisioner "shell" {
    execute_command = "sudo env HOME=/root sh '{{ '{{ .Path }}' }}'"
    inline_shebang  = "/bin/sh"
    inline = [<<-END-OF-SCRIPT
{{ bake | hcl }}
END-OF-SCRIPT
    ]
  }
}
