// A buildkitd that passes for one until it is started: then it ends at once, with a reason.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println("buildkitd made for a test v9.9.9 0")
		return
	}
	fmt.Fprintln(os.Stderr, "buildkitd: made to end at once")
	os.Exit(1)
}
