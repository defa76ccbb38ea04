// Package hub knows the VGG weights that others publish, with where each figure about them was read, and downloads
// them: whole, checked, and into place only then.
package hub

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Cited is a value and where it was read. Both are empty where nobody says.
type Cited[T any] struct {
	Value  T      `json:"value"`
	Source string `json:"source"`
}

// Entry is one published file of weights.
type Entry struct {
	Name    string        `json:"name"`    // what vggo pull takes
	Network string        `json:"network"` // a built-in of arch
	File    string        `json:"file"`    // its name here, which is the publisher's where that tells files apart
	URL     Cited[string] `json:"url"`
	// address of its Git LFS pointer, where the table has no checksum
	Pointer    string             `json:"pointer,omitempty"`
	Size       Cited[Size]        `json:"size"`
	Checksum   Cited[Checksum]    `json:"checksum"`
	Licence    Cited[string]      `json:"licence"`
	Credit     string             `json:"credit"`     // whom the licence wants named
	Preprocess Cited[string]      `json:"preprocess"` // of vision, by name
	Accuracy   Cited[Performance] `json:"accuracy"`   // published, not measured here
	Note       string             `json:"note,omitempty"`
}

// Performance is accuracy on ImageNet's 50,000 validation images, one centre crop, in percent.
type Performance struct {
	Top1 float64 `json:"top1"`
	Top5 float64 `json:"top5"`
}

// Size is the number of bytes that a file may have: most publishers round it.
type Size struct {
	Low  int64 `json:"low"`
	High int64 `json:"high"`
}

// exactly is a size told in bytes.
func exactly(bytes int64) Size { return Size{bytes, bytes} }

// mebibytes is a size told in units of 2^20 bytes, rounded to three digits after the point.
func mebibytes(n float64) Size {
	const half = 0.0005
	return Size{int64(math.Ceil((n - half) * (1 << 20))), int64(math.Floor((n + half) * (1 << 20)))}
}

// megabytes is a size told in whole units of 10^6 bytes.
func megabytes(n int64) Size { return Size{n*1_000_000 - 500_000, n*1_000_000 + 500_000} }

// holds tells whether a file may have this many bytes. An empty Size holds whatever maxFile does.
func (s Size) holds(bytes int64) bool {
	if s == (Size{}) {
		return bytes <= maxFile
	}
	return s.Low <= bytes && bytes <= s.High
}

// String is the size in megabytes of 10^6 bytes, empty where it is not known.
func (s Size) String() string {
	if s == (Size{}) {
		return ""
	}
	return fmt.Sprintf("%.1f MB", float64(s.Low+s.High)/2/1e6)
}

// Checksum is an algorithm, a colon and hexadecimal digits, as in "sha256:397923af". Fewer digits than the algorithm
// gives are its first ones.
type Checksum string

// digits is how many hexadecimal digits an algorithm gives.
var digits = map[string]int{"sha256": 64, "md5": 32}

// split takes a checksum apart. Whole tells whether it has all digits.
func (c Checksum) split() (algorithm, hex string, whole bool, err error) {
	algorithm, hex, _ = strings.Cut(string(c), ":")
	n := digits[algorithm]
	// Eight digits are what torchvision's file names carry; fewer would let one file in 16 million pass for another.
	if n == 0 || len(hex) < 8 || len(hex) > n || strings.Trim(hex, "0123456789abcdef") != "" {
		return "", "", false, fmt.Errorf("checksum %q: want sha256: or md5: and at least 8 lower-case hexadecimal digits", c)
	}
	return algorithm, hex, len(hex) == n, nil
}

// Trust says in a few words what a download of the entry is held against.
func (e Entry) Trust() string {
	if e.Checksum.Value == "" {
		if e.Pointer != "" {
			return "the SHA-256 and the size in its Git LFS pointer, read over TLS when it is downloaded"
		}
		return "nothing: no checksum is published"
	}
	algorithm, hex, whole, err := e.Checksum.Value.split()
	name := map[string]string{"sha256": "SHA-256", "md5": "MD5"}[algorithm]
	switch {
	case err != nil:
		return err.Error()
	case !whole:
		return fmt.Sprintf("the first %d of %d digits of its %s", len(hex), digits[algorithm], name)
	}
	return "its " + name
}

// All lists the entries, grouped by publisher.
func All() []Entry { return slices.Clone(table) }

// Find returns the entry of a name.
func Find(name string) (Entry, bool) {
	for _, e := range table {
		if e.Name == name {
			return e, true
		}
	}
	return Entry{}, false
}
