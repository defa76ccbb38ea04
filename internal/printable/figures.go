package printable

import "strconv"

// Count writes a number with commas: 138,357,544.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Bytes writes a size in decimal units, as files and disks are: 553.4 MB.
func Bytes(n int64) string { return Scaled(float64(n), "B") }

// BytesApart writes two numbers of bytes that are held against each other: as Bytes does, or in full where that would
// write different ones alike.
func BytesApart(n, other int64) (string, string) {
	if n != other && Bytes(n) == Bytes(other) {
		return Count(n) + " B", Count(other) + " B"
	}
	return Bytes(n), Bytes(other)
}

// Scaled writes a value with three or four digits and a prefix: 30.9 GFLOP.
func Scaled(v float64, unit string) string {
	prefixes := []string{"", "k", "M", "G", "T", "P", "E"}
	i := 0
	for v >= 999.95 && i < len(prefixes)-1 {
		v, i = v/1000, i+1
	}
	decimals := 1
	switch {
	case i == 0:
		decimals = 0
	case v < 9.995:
		decimals = 2
	}
	return strconv.FormatFloat(v, 'f', decimals, 64) + " " + prefixes[i] + unit
}
