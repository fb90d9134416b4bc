// Does what an emulator of a probe program does, registered with the flag P: waits for the end of its standard input and
// counts the program's arguments. Its own name says how: "late-9" begins after 9 s, "renamed" changes its name.
package main

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const prSetName = 15

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		os.Stdout.WriteString("qemu-aarch64 version 10.0.0\n")
		return
	}
	how := filepath.Base(os.Args[0])
	if seconds, found := strings.CutPrefix(how, "late-"); found {
		number, _ := strconv.Atoi(seconds)
		time.Sleep(time.Duration(number) * time.Second)
	}
	if how == "renamed" {
		name := []byte("another\x00")
		syscall.RawSyscall(syscall.SYS_PRCTL, prSetName, uintptr(unsafe.Pointer(&name[0])), 0)
	}
	io.Copy(io.Discard, os.Stdin)
	os.Exit(len(os.Args) - 2)
}
