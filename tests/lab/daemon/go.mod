module daemon

go 1.21
