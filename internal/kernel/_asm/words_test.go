package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/arch/arm64/arm64asm"
)

var word = regexp.MustCompile(`^\tWORD \$0x([0-9a-f]{8}) // (.+)$`)

// TestWords decodes each instruction that is written as a number, because Go's assembler lacks it, and holds it to its
// comment.
func TestWords(t *testing.T) {
	paths, err := filepath.Glob("../*_arm64.s")
	if err != nil {
		t.Fatal(err)
	}
	words := 0
	for _, path := range paths {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(source), "\n") {
			if !strings.Contains(line, "WORD") {
				continue
			}
			m := word.FindStringSubmatch(line)
			if m == nil {
				t.Errorf("%s:%d: %q does not say what it is", path, i+1, line)
				continue
			}
			number, err := strconv.ParseUint(m[1], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			instruction, err := arm64asm.Decode(binary.LittleEndian.AppendUint32(nil, uint32(number)))
			if err != nil {
				t.Errorf("%s:%d: %s is no instruction: %v", path, i+1, m[1], err)
				continue
			}
			if is := arm64asm.GNUSyntax(instruction); is != m[2] {
				t.Errorf("%s:%d: %s is %s, not %s", path, i+1, m[1], is, m[2])
			}
			words++
		}
	}
	if words == 0 {
		t.Error("no instruction is written as a number")
	}
}
