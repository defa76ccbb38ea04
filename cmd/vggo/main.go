// Command vggo describes, runs and times VGG-style networks.
package main

import (
	"context"
	"os"
	"os/signal"
)

func main() { os.Exit(interruptible()) }

// interruptible runs the command line under a context that the first Ctrl-C cancels, so that a command can still print
// what it has; the second ends the process at once.
func interruptible() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop)
	return run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}
