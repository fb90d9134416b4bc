// A buildkitd that is worse than the one before it: how is said when it is compiled.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// fault is one of "ends", "hangs", "lists nothing", "lists less"; the last needs the real daemon beside it.
var fault = "ends"

func main() {
	if fault == "lists less" {
		program := filepath.Join(filepath.Dir(os.Args[0]), "buildkitd-real")
		// It finds out what runs by programs in its TMPDIR. Nobody can write one there.
		os.Setenv("TMPDIR", "/proc")
		fmt.Fprintln(os.Stderr, syscall.Exec(program, append([]string{program}, os.Args[1:]...), os.Environ()))
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println("buildkitd made for a test v9.9.9 0")
		return
	}
	fmt.Fprintln(os.Stderr, "buildkitd: made for a fault: "+fault)
	switch fault {
	case "hangs":
		for {
			time.Sleep(time.Hour)
		}
	case "lists nothing":
		serve()
	}
	os.Exit(1)
}

// serve answers every call of gRPC (HTTP/2 without TLS) with a message that is empty, and says READY to systemd.
func serve() {
	socket := "/run/buildkit/buildkitd.sock"
	os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	if place := os.Getenv("NOTIFY_SOCKET"); place != "" {
		if manager, err := net.Dial("unixgram", place); err == nil {
			manager.Write([]byte("READY=1"))
			manager.Close()
		}
	}
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.Write([]byte{0, 0, 0, 0, 0})
		w.Header().Set("Grpc-Status", "0")
	})}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server.Protocols = protocols
	fmt.Fprintln(os.Stderr, server.Serve(listener))
}
