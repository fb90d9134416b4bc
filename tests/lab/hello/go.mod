module provision.test/hello

go 1.21
