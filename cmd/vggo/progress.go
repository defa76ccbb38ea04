package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"github.com/vggo/vggo/internal/printable"
)

// progress is a line at the bottom of a terminal that says how far a command has come, while nothing else is written.
// It appears once a command has taken longer than patience, and leaves nothing behind. Of a standard error that is no
// terminal nothing is shown.
type progress struct {
	terminal *os.File
	done     chan struct{} // closed when the command ends
	gone     sync.WaitGroup

	mu    sync.Mutex
	what  string // is counted: "pictures"; empty where nothing is
	count int
	total int // 0: nobody knows
	began time.Time
	quiet bool // something else is drawn there
	shown bool
}

const (
	patience = time.Second
	redraw   = 250 * time.Millisecond
)

// newProgress begins to watch a command; w is its standard error.
func newProgress(w io.Writer) *progress {
	p := &progress{terminal: terminalOf(w), done: make(chan struct{}), began: time.Now()}
	if p.terminal == nil || os.Getenv("TERM") == "dumb" {
		p.terminal = nil
		return p
	}
	p.gone.Go(func() {
		tick := time.NewTicker(redraw)
		defer tick.Stop()
		for {
			select {
			case <-p.done:
				return
			case <-tick.C:
				p.draw()
			}
		}
	})
	return p
}

// begin begins to count.
func (p *progress) begin(total int, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what, p.count, p.total, p.began = what, 0, total, time.Now()
}

// advance says how many are done.
func (p *progress) advance(count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count = count
}

// silence leaves the terminal to something else that is drawn there.
func (p *progress) silence() {
	p.clear()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quiet = true
}

// end removes the line, and draws no more.
func (p *progress) end() {
	close(p.done)
	p.gone.Wait()
	p.clear()
}

// clear removes the line; it comes back by itself.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		p.shown = false
		_, _ = io.WriteString(p.terminal, "\r\x1b[K")
	}
}

func (p *progress) draw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := time.Since(p.began)
	if p.quiet || took < patience {
		return
	}
	columns, _, err := term.GetSize(int(p.terminal.Fd()))
	if err != nil {
		return
	}
	p.shown = true
	_, _ = fmt.Fprintf(p.terminal, "\r\x1b[K%s", text.Trim(progressLine(p.count, p.total, p.what, took), columns-1))
}

// progressLine is what is shown after a time.
func progressLine(count, total int, what string, took time.Duration) string {
	if what == "" {
		return "working, " + soon(took)
	}
	line := fmt.Sprintf("%s of %s %s, %s", printable.Count(int64(count)), printable.Count(int64(total)), what, soon(took))
	if left := time.Duration(float64(took) / float64(max(count, 1)) * float64(total-count)); count > 0 &&
		left >= time.Second {
		line += fmt.Sprintf(", about %s left", soon(left))
	}
	return line
}

// progressOf is the progress of the command whose standard error w is.
func progressOf(w io.Writer) *progress {
	if c, ok := w.(*console); ok && c.to.progress != nil {
		return c.to.progress
	}
	return &progress{}
}
