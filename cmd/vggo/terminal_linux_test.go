package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal is a pseudo-terminal of so many columns: what a program writes to its screen can be read from keeper.
func openTerminal(t *testing.T, columns int) (keeper, screen *os.File) {
	t.Helper()
	keeper, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal: %v", err)
	}
	t.Cleanup(func() { keeper.Close() })
	fd := int(keeper.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(columns)})
	}
	if err != nil {
		t.Skipf("no terminal: %v", err)
	}
	if screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skipf("no terminal: %v", err)
	}
	return keeper, screen
}

// onTerminal runs a command whose outputs are one terminal, and gives what it shows. seen is called with what is there so far.
func onTerminal(t *testing.T, ctx context.Context, columns int, seen func(text string), args ...string) (code int, text string) {
	t.Helper()
	keeper, screen := openTerminal(t, columns)
	read := make(chan string)
	go func() {
		var all strings.Builder
		buffer := make([]byte, 4096)
		for {
			n, err := keeper.Read(buffer)
			all.Write(buffer[:n])
			if seen != nil {
				seen(all.String())
			}
			if err != nil { // EIO once the screen is closed
				read <- all.String()
				return
			}
		}
	}()
	code = run(ctx, args, screen, screen)
	screen.Close()
	return code, strings.ReplaceAll(<-read, "\r\n", "\n")
}

// TestServeSaysWhereToLook: whoever starts the server by hand is told what to open; a log for programs is as before.
func TestServeSaysWhereToLook(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:0": `^Open http://localhost:(\d+) \(Ctrl-C stops\)$`,
		":0":          `^Open http://localhost:(\d+) \(Ctrl-C stops\)$`,
		"127.0.0.2:0": `^Open http://127\.0\.0\.2:(\d+) \(Ctrl-C stops\)$`,
	} {
		ctx, stop := context.WithCancel(t.Context())
		wanted, listening := regexp.MustCompile(`(?m)`+want), regexp.MustCompile(`address=\S*:(\d+)`)
		code, text := onTerminal(t, ctx, 80, func(text string) {
			if strings.Contains(text, "Ctrl-C stops") {
				stop()
			}
		}, "serve", "--addr", addr)
		stop()
		told, really := wanted.FindStringSubmatch(text), listening.FindStringSubmatch(text)
		if code != exitOK || told == nil || really == nil || told[1] != really[1] {
			t.Errorf("--addr %s: exit %d, want %s:\n%s", addr, code, want, text)
		}
	}
	r, w := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		run(ctx, []string{"serve", "--addr", "127.0.0.1:0"}, io.Discard, w)
		w.Close()
	}()
	var all strings.Builder
	buffer := make([]byte, 4096)
	for {
		n, err := r.Read(buffer)
		all.Write(buffer[:n])
		if strings.Contains(all.String(), `"msg":"ready"`) {
			stop()
		}
		if err != nil {
			break
		}
	}
	stop()
	if text := all.String(); strings.Contains(text, "Open http") || rawBytes(text) != nil {
		t.Errorf("in a pipe:\n%s", text)
	}
}
