package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vggo/vggo/internal/sheet"
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

// onTerminal runs a command whose outputs are one terminal, and gives what it shows. seen is called with what is there
// so far.
func onTerminal(t *testing.T, ctx context.Context, columns int, seen func(text string), args ...string) (code int,
	text string) {
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

// TestNarrowTerminal: no table is wider than the terminal; in a file and a pipe it is what it always is.
func TestNarrowTerminal(t *testing.T) {
	boot, rule := "../../docs/examples/boot.png", strings.Repeat("─", 20)
	dir := t.TempDir()
	labels, set := filepath.Join(dir, "labels.txt"), filepath.Join(dir, "set")
	var names strings.Builder
	for i := range 10 {
		fmt.Fprintf(&names, "class %d, whose name is as long as those of ImageNet, with all its synonyms, may be\n", i)
	}
	if err := os.WriteFile(labels, []byte(names.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	picture, err := os.ReadFile(boot)
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range []string{"cat", "dog"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(set, class), 0o777), os.WriteFile(filepath.Join(set, class, "1.png"),
			picture, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"arch", "vgg16"}, {"arch", "vgg16", "--formulas"}, {"arch", "--list"}, {"arch", "--compare", "vgg16,vgg19,tinyvgg"},
		{"field", "vgg16"},
		{"field", "3", "3", "3"}, {"field", "vgg16", "--layer", "conv5_3"}, {"models"}, {"bench", "--explain-plan", "--model",
			"tinyvgg"},
		{"classify", boot, "--weights", tinyWeights, "--labels", labels},
		{"bench", "--model", "tinyvgg", "--batch", "1", "--steps", "1", "--burn-in", "0", "--layers"},
		{"eval", set},
	} {
		for _, columns := range []int{60, 80} {
			code, text := onTerminal(t, t.Context(), columns, nil, args...)
			if code != exitOK {
				t.Fatalf("%q: exit %d, %s", args, code, text)
			}
			lines := strings.Split(text, "\n")
			for i, line := range lines {
				if !strings.HasPrefix(line, rule) {
					continue
				}
				for at := i - 1; at < len(lines) && lines[at] != ""; at++ {
					if wide := sheet.Width(lines[at]); wide > columns {
						t.Errorf("%q on %d columns: %d in %s", args, columns, wide, lines[at])
					}
				}
			}
		}
		_, one, _ := vggo(t.Context(), args...)
		if strings.Contains(one, "for want of room") {
			t.Errorf("%q in a pipe:\n%s", args, one)
		}
	}
	if _, text := onTerminal(t, t.Context(), 30, nil, "eval", set); !strings.Contains(text,
		"The confusion matrix takes 44 columns, which this terminal has not: --json has it too.\n") {
		t.Errorf("eval on 30 columns:\n%s", text)
	}
}

// TestProgress: what takes long says on a terminal how far it is, on a line that goes before anything else is written
// and at the end.
func TestProgress(t *testing.T) {
	keeper, screen := openTerminal(t, 40)
	read := make(chan string)
	go func() {
		text, _ := io.ReadAll(keeper) // until the screen is closed
		read <- string(text)
	}()
	p := newProgress(screen)
	errs := newConsole(screen)
	errs.to.progress = p
	if progressOf(errs) != p {
		t.Error("the progress of a console is another")
	}
	show := func() {
		p.mu.Lock()
		p.began = time.Now().Add(-30 * time.Second)
		p.mu.Unlock()
		p.draw()
	}
	show()
	fmt.Fprintln(errs, "a line")
	p.begin(1200, "pictures")
	p.advance(600)
	show()
	p.silence()
	show()
	p.end()
	screen.Close()
	text := <-read
	want := regexp.MustCompile(`^(\r\x1b\[Kworking, 30 s)+\r\x1b\[Ka line\r\n(\r\x1b\[K600 of 1,200 pictures, 30 s, ` +
		`about 30 s)+\r\x1b\[K$`)
	if !want.MatchString(text) {
		t.Errorf("%q", text)
	}
}

// TestNoProgressInPipes: no control character is in what is no terminal, however long it takes.
func TestNoProgressInPipes(t *testing.T) {
	var pipe strings.Builder
	p := newProgress(&pipe)
	p.began = time.Now().Add(-time.Hour)
	p.begin(3, "pictures")
	p.silence()
	p.end()
	if pipe.Len() > 0 || p.terminal != nil {
		t.Errorf("%q", pipe.String())
	}
}

func TestProgressLine(t *testing.T) {
	for _, c := range []struct {
		count, total int
		what         string
		seconds      int
		want         string
	}{
		{0, 0, "", 12, "working, 12 s"}, {0, 10000, "pictures", 2, "0 of 10,000 pictures, 2 s"}, {2500, 10000, "pictures", 60,
			"2,500 of 10,000 pictures, 60 s, about 3 min left"},
		{10, 10, "passes", 3, "10 of 10 passes, 3 s"},
	} {
		if got := progressLine(c.count, c.total, c.what, time.Duration(c.seconds)*time.Second); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
