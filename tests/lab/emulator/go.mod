module provision.test/emulator

go 1.21
