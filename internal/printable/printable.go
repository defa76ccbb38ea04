// Package printable makes text of files, names and clients fit to be shown: no byte of it moves a terminal's cursor,
// changes its colours, turns the direction of writing or begins a line of its own.
package printable

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Text is a text on one line. What does not print is written as Go and JSON would: \n, \x1b, \u202e; a byte that is no
// UTF-8 as \xff. All other text stays as it is.
func Text(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || acts(r) }) < 0 {
		return s
	}
	return string(appendText(nil, []byte(s), ""))
}

// acts reports whether a terminal may do something else with a character than to show it: control characters (C0, DEL,
// C1), separators of lines and paragraphs, and those that turn the direction of writing, with which "gpj.exe" reads
// "exe.jpg".
func acts(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// appendText appends text with escapes, but for the characters in kept.
func appendText(to, s []byte, kept string) []byte {
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		switch {
		case r == utf8.RuneError && n == 1:
			to = fmt.Appendf(to, `\x%02x`, s[0])
		case !acts(r) || strings.ContainsRune(kept, r):
			to = append(to, s[:n]...)
		case r == '\n':
			to = append(to, `\n`...)
		case r == '\r':
			to = append(to, `\r`...)
		case r == '\t':
			to = append(to, `\t`...)
		case r < ' ':
			to = fmt.Appendf(to, `\x%02x`, r)
		default: // all of them are below 0x10000, and this stands in JSON's strings too
			to = fmt.Appendf(to, `\u%04x`, r)
		}
		s = s[n:]
	}
	return to
}

// Writer passes text on with escapes as Text writes them. Lines and tabs stay. It may be used by many goroutines.
type Writer struct {
	to io.Writer

	mu   sync.Mutex
	held []byte // the beginning of a character
}

// NewWriter makes a Writer before another.
func NewWriter(to io.Writer) *Writer { return &Writer{to: to} }

func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	whole := p
	if len(w.held) > 0 {
		whole = append(w.held, p...)
	}
	end := len(whole)
	for i := 1; i < utf8.UTFMax && i <= len(whole); i++ { // the last character may not be whole yet
		if c := whole[len(whole)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(whole[len(whole)-i:]) {
				end = len(whole) - i
			}
			break
		}
	}
	text := whole[:end]
	w.held = append([]byte(nil), whole[end:]...)
	return len(p), w.pass(text)
}

// pass writes text whole, or is an error.
func (w *Writer) pass(text []byte) error {
	const lines = "\n\t"
	if len(text) == 0 {
		return nil
	}
	_, err := w.to.Write(appendText(make([]byte, 0, len(text)), text, lines))
	return err
}

// Flush writes what looks like the beginning of a character and was held back for its end.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := w.held
	w.held = nil
	return w.pass(text)
}
