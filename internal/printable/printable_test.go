package printable

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// TestText: what a terminal would act upon is written as an escape, all else stays.
func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"photo.jpg":                  "photo.jpg",
		"Käfer 猫 👩‍🚀 “x” C:\\a":      "Käfer 猫 👩‍🚀 “x” C:\\a",
		"a\x1b[31mred":               `a\x1b[31mred`,
		"a\nhint: rm\r\tb\x00\x07":   `a\nhint: rm\r\tb\x00\x07`,
		"\x7f\u009b31m\u0085":        `\u007f\u009b31m\u0085`,
		"exe\u202egpj.x\u2066\u200f": `exe\u202egpj.x\u2066\u200f`,
		"a\u2028b\u2029":             `a\u2028b\u2029`,
		"a\xffb\xc3":                 `a\xffb\xc3`,
		"\ufffd":                     "\ufffd",
	} {
		if got := Text(text); got != want {
			t.Errorf("Text(%q) = %s, want %s", text, got, want)
		}
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if got := Text(string(r)); utf8.ValidRune(r) && acts(r) != (got != string(r)) {
			t.Fatalf("%U is written %q", r, got)
		}
		if acts(r) && r > 0xffff {
			t.Fatalf("%U needs more than four digits", r)
		}
	}
}

// TestWriter: however a text is cut into writes, it comes out the same; lines stay; JSON stays JSON and means the same.
func TestWriter(t *testing.T) {
	type value struct{ Name string }
	meant := value{"a\x1b[2J\u202e\u009b\x7f 猫\n\u2028"}
	text, err := json.Marshal(meant)
	if err != nil {
		t.Fatal(err)
	}
	all := "line\tone 猫\nline two \x1b]0;x\x07\u202e\xc3\n" + string(text) + "\xe7\x8c"
	want := "line\tone 猫\nline two \\x1b]0;x\\x07\\u202e\\xc3\n"
	for size := 1; size <= len(all); size++ {
		var out bytes.Buffer
		w := NewWriter(&out)
		for rest := all; rest != ""; {
			n := min(size, len(rest))
			if written, err := w.Write([]byte(rest[:n])); written != n || err != nil {
				t.Fatalf("%d of %d, %v", written, n, err)
			}
			rest = rest[n:]
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		tail, ok := strings.CutPrefix(out.String(), want)
		tail, cut := strings.CutSuffix(tail, `\xe7\x8c`)
		var got value
		if err := json.Unmarshal([]byte(tail), &got); !ok || !cut || err != nil || got != meant {
			t.Fatalf("in pieces of %d: %q, %v", size, out.String(), err)
		}
	}
	broken := errors.New("broken")
	if _, err := NewWriter(writerFunc(func([]byte) (int, error) { return 0, broken })).Write([]byte("x")); !errors.Is(err,
		broken) {
		t.Errorf("error %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
