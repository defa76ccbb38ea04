package pickle

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// take returns the next n bytes; none where so many are not left.
func (m *machine) take(n uint64) []byte {
	if n > uint64(len(m.data)-m.at) {
		m.fail(errTruncated)
		return nil
	}
	b := m.data[m.at : m.at+int(n)]
	m.at += int(n)
	return b
}

// number reads a little-endian number of 1 to 8 bytes.
func (m *machine) number(size uint64) (v uint64) {
	for i, c := range m.take(size) {
		v |= uint64(c) << (8 * i)
	}
	return v
}

func (m *machine) byte() byte { return byte(m.number(1)) }

// line reads text up to a line's end; names and decimal numbers end so.
func (m *machine) line() string {
	n := bytes.IndexByte(m.data[m.at:], '\n')
	if n < 0 {
		m.fail(errTruncated)
		return ""
	}
	return m.string(m.take(uint64(n) + 1)[:n])
}

// key reads a decimal number of the memo.
func (m *machine) key() uint64 {
	n, err := strconv.ParseUint(m.line(), 10, 32)
	if err != nil {
		m.fail(err)
	}
	return n
}

// string copies bytes, within the limit on text.
func (m *machine) string(b []byte) string {
	if len(b) > maxText-m.text {
		m.failf("more than %d bytes of text", maxText)
		return ""
	}
	m.text += len(b)
	return string(b)
}

// textInt reads INT and LONG: decimal, LONG with an L at its end. INT's 00 and 01 are False and True.
func (m *machine) textInt(boolean bool) {
	line := m.line()
	if boolean && (line == "00" || line == "01") {
		m.push(line == "01")
		return
	}
	if digits := strings.TrimSuffix(line, "L"); len(digits) <= 2*maxLong {
		if v, err := strconv.ParseInt(digits, 10, 64); err == nil {
			m.push(v)
			return
		}
		if v, ok := new(big.Int).SetString(digits, 10); ok {
			m.push(v)
			return
		}
	}
	m.failf("not an int: %q", line[:min(len(line), 40)])
}

// long reads LONG1 and LONG4: two's complement, little-endian, in as many bytes as it needs.
func (m *machine) long(size uint64) {
	n := m.number(size)
	if n > maxLong {
		m.failf("an int of %d bytes: the most is %d", n, maxLong)
		return
	}
	b := m.take(n)
	negative := len(b) > 0 && b[len(b)-1]&0x80 != 0
	if n <= 8 {
		var v uint64
		if negative {
			v = math.MaxUint64
		}
		for i := range b {
			v = v&^(0xff<<(8*i)) | uint64(b[i])<<(8*i)
		}
		m.push(int64(v))
		return
	}
	big1 := slices.Clone(b)
	slices.Reverse(big1)
	v := new(big.Int).SetBytes(big1)
	if negative {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*n)))
	}
	m.push(v)
}

// bytes reads a length of so many bytes, and what it is the length of.
func (m *machine) bytes(size uint64) { m.push(Bytes(m.take(m.number(size)))) }

func (m *machine) unicode(size uint64) {
	s := m.string(m.take(m.number(size)))
	if !utf8.ValidString(s) {
		m.fail(errors.New("a str that is not UTF-8"))
	}
	m.push(s)
}

// quoted reads STRING, a Python 2 str as repr prints it.
func (m *machine) quoted() {
	line := strings.TrimRight(m.line(), " \r")
	if len(line) < 2 || line[0] != line[len(line)-1] || line[0] != '\'' && line[0] != '"' {
		m.fail(errors.New("a str without its quotes"))
		return
	}
	line = line[1 : len(line)-1]
	out := make(Bytes, 0, len(line))
	for i := 0; i < len(line); i++ {
		if line[i] != '\\' {
			out = append(out, line[i])
			continue
		}
		i++
		if i == len(line) {
			m.fail(errors.New("a str that ends within an escape"))
			return
		}
		if line[i] == 'x' {
			out = append(out, byte(m.hexadecimal(line[i+1:], 2)))
			i += 2
			continue
		}
		c, ok := map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', '\\': '\\', '\'': '\'', '"': '"'}[line[i]]
		if !ok {
			m.failf("a str with escape %q, which repr does not print", line[i])
		}
		out = append(out, c)
	}
	m.push(out)
}

// escaped reads UNICODE, a str in Python's raw-unicode-escape: Latin-1 with \u and \U before hexadecimal digits.
func (m *machine) escaped() {
	line := m.line()
	var out strings.Builder
	for i := 0; i < len(line); i++ {
		digits := 0
		if line[i] == '\\' && i+1 < len(line) {
			digits = map[byte]int{'u': 4, 'U': 8}[line[i+1]]
		}
		if digits == 0 {
			out.WriteRune(rune(line[i]))
			if line[i] == '\\' && i+1 < len(line) { // what follows a backslash begins no escape
				i++
				out.WriteRune(rune(line[i]))
			}
			continue
		}
		out.WriteRune(rune(m.hexadecimal(line[i+2:], digits)))
		i += 1 + digits
	}
	m.push(out.String())
}

// hexadecimal is the number that a str's escape ends with.
func (m *machine) hexadecimal(s string, digits int) uint64 {
	v, err := strconv.ParseUint(s[:min(digits, len(s))], 16, 32)
	if err != nil || len(s) < digits || v > utf8.MaxRune {
		m.fail(errors.New("a str with a broken escape"))
	}
	return v
}
