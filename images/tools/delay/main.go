// halab-delay holds packets back for a while, for kernels without netem.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "halab-delay: no queue given")
	os.Exit(2)
}
