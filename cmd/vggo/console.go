package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/vggo/vggo/internal/printable"
)

// console is standard output or standard error on its way out. It lets nothing through that a terminal would act upon,
// whatever names and files hold, and remembers the first write that failed.
type console struct {
	*printable.Writer
	to *failing
}

// failing clears the terminal for each write, remembers a write that failed, and writes no more.
type failing struct {
	io.Writer
	err      error
	progress *progress // whose line must go before something else is written; may be nil
}

func (f *failing) Write(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	if f.progress != nil {
		f.progress.clear()
	}
	n, err := f.Writer.Write(p)
	f.err = err
	return n, err
}

func newConsole(w io.Writer) *console {
	to := &failing{Writer: w}
	return &console{printable.NewWriter(to), to}
}

// close writes what is left, and returns the first error of all writes.
func (c *console) close() error {
	_ = c.Flush() // which to has seen
	return c.to.err
}

// terminalOf is what is written to if it is a terminal, else nil. What is written to it straight must not be of others.
func terminalOf(w io.Writer) *os.File {
	if c, ok := w.(*console); ok {
		w = c.to.Writer
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// Columns are those of the terminal that is written to; 0 where it is none.
func (c *console) Columns() int {
	f := terminalOf(c)
	if f == nil {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// ownText is text of our own, of several lines.
type ownText string

// printf is fmt.Fprintf whose texts may be a stranger's: each stays on its line.
func printf(w io.Writer, format string, args ...any) error {
	clean := make([]any, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			clean[i] = printable.Text(v)
		case error:
			clean[i] = printable.Text(v.Error())
		default:
			clean[i] = arg
		}
	}
	_, err := fmt.Fprintf(w, format, clean...)
	return err
}
