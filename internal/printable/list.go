package printable

import (
	"fmt"
	"strings"
)

// And joins words as a sentence does: "a", "a and b", "a, b and c".
func And[T any](words []T) string { return join(words, " and ") }

// Ends is And, but of more than most words their first and last four and how many there are.
func Ends(words []string, most int) string {
	const ends = 4
	n := len(words)
	if n <= max(most, 2*ends) {
		return And(words)
	}
	return fmt.Sprintf("%s … %s, %d in all", strings.Join(words[:ends], ", "), strings.Join(words[n-ends:], ", "), n)
}

// Or joins words that are to be chosen from: "a", "a or b", "a, b or c".
func Or[T any](words []T) string { return join(words, " or ") }

func join[T any](words []T, last string) string {
	var b strings.Builder
	for i, word := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			b.WriteString(last)
		default:
			b.WriteString(", ")
		}
		fmt.Fprint(&b, word)
	}
	return b.String()
}

// Shape is the lengths of an array's axes, as "64x3x3x3"; of a single value "scalar".
func Shape[T ~int | ~int32 | ~int64 | ~uint64](axes []T) string {
	if len(axes) == 0 {
		return "scalar"
	}
	var b []byte
	for i, n := range axes {
		if i > 0 {
			b = append(b, 'x')
		}
		b = fmt.Append(b, n)
	}
	return string(b)
}

// Clip cuts a text to n characters, the last of which is then "…". n is at least 1.
func Clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
