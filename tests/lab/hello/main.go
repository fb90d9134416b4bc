// Prints GOOS/GOARCH as compiled, then the machine that uname reports: "linux/arm64 aarch64".
package main

import (
	"fmt"
	"runtime"
	"syscall"
)

// The kernel's C string; its element is int8 or uint8, as char is on the architecture.
func text[T int8 | uint8](field [65]T) string {
	out := []byte{}
	for _, c := range field {
		if c == 0 {
			break
		}
		out = append(out, byte(c))
	}
	return string(out)
}

func main() {
	var name syscall.Utsname
	if err := syscall.Uname(&name); err != nil {
		panic(err)
	}
	fmt.Printf("%s/%s %s\n", runtime.GOOS, runtime.GOARCH, text(name.Machine))
}
