package pickle

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// take returns the next n bytes.
func (m *machine) take(n uint64) ([]byte, error) {
	if n > uint64(len(m.data)-m.at) {
		return nil, errTruncated
	}
	b := m.data[m.at : m.at+int(n)]
	m.at += int(n)
	return b, nil
}

// number reads a little-endian number of 1 to 8 bytes.
func (m *machine) number(size uint64) (uint64, error) {
	b, err := m.take(size)
	var v uint64
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	return v, err
}

// line reads text up to a line's end; names and decimal numbers end so.
func (m *machine) line() (string, error) {
	n := bytes.IndexByte(m.data[m.at:], '\n')
	if n < 0 {
		return "", errTruncated
	}
	b, err := m.take(uint64(n) + 1)
	if err != nil {
		return "", err
	}
	return m.string(b[:n])
}

// string copies bytes, within the limit on text.
func (m *machine) string(b []byte) (string, error) {
	if len(b) > maxText-m.text {
		return "", fmt.Errorf("more than %d bytes of text", maxText)
	}
	m.text += len(b)
	return string(b), nil
}

func (m *machine) unsigned(size uint64) error {
	v, err := m.number(size)
	m.push(int64(v))
	return err
}

// textInt reads INT and LONG: decimal, LONG with an L at its end. INT's 00 and 01 are False and True.
func (m *machine) textInt() error {
	boolean := m.data[m.at-1] == opInt
	line, err := m.line()
	if err != nil {
		return err
	}
	if boolean && (line == "00" || line == "01") {
		m.push(line == "01")
		return nil
	}
	if digits := strings.TrimSuffix(line, "L"); len(digits) <= 2*maxLong {
		if v, err := strconv.ParseInt(digits, 10, 64); err == nil {
			m.push(v)
			return nil
		}
		if v, ok := new(big.Int).SetString(digits, 10); ok {
			m.push(v)
			return nil
		}
	}
	return fmt.Errorf("not an int: %q", line[:min(len(line), 40)])
}

// long reads LONG1 and LONG4: two's complement, little-endian, in as many bytes as it needs.
func (m *machine) long(size uint64) error {
	n, err := m.number(size)
	if err != nil {
		return err
	}
	if n > maxLong {
		return fmt.Errorf("an int of %d bytes: the most is %d", n, maxLong)
	}
	b, err := m.take(n)
	if err != nil {
		return err
	}
	negative := n > 0 && b[n-1]&0x80 != 0
	if n <= 8 {
		var v uint64
		if negative {
			v = math.MaxUint64
		}
		for i := range b {
			v = v&^(0xff<<(8*i)) | uint64(b[i])<<(8*i)
		}
		m.push(int64(v))
		return nil
	}
	big1 := slices.Clone(b)
	slices.Reverse(big1)
	v := new(big.Int).SetBytes(big1)
	if negative {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*n)))
	}
	m.push(v)
	return nil
}

// bytes reads a length of so many bytes, and what it is the length of.
func (m *machine) bytes(size uint64) error {
	n, err := m.number(size)
	if err != nil {
		return err
	}
	b, err := m.take(n)
	m.push(Bytes(b))
	return err
}

func (m *machine) unicode(size uint64) error {
	n, err := m.number(size)
	if err != nil {
		return err
	}
	b, err := m.take(n)
	if err != nil {
		return err
	}
	s, err := m.string(b)
	if err == nil && !utf8.ValidString(s) {
		err = errors.New("a str that is not UTF-8")
	}
	m.push(s)
	return err
}

// quoted reads STRING, a Python 2 str as repr prints it.
func (m *machine) quoted() error {
	line, err := m.line()
	if err != nil {
		return err
	}
	line = strings.TrimRight(line, " \r")
	if len(line) < 2 || line[0] != line[len(line)-1] || line[0] != '\'' && line[0] != '"' {
		return errors.New("a str without its quotes")
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
			return errors.New("a str that ends within an escape")
		}
		if line[i] == 'x' {
			v, err := hexadecimal(line[i+1:], 2)
			if err != nil {
				return err
			}
			out = append(out, byte(v))
			i += 2
			continue
		}
		c, ok := map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', '\\': '\\', '\'': '\'', '"': '"'}[line[i]]
		if !ok {
			return fmt.Errorf("a str with escape %q, which repr does not print", line[i])
		}
		out = append(out, c)
	}
	m.push(out)
	return nil
}

// escaped reads UNICODE, a str in Python's raw-unicode-escape: Latin-1 with \u and \U before hexadecimal digits.
func (m *machine) escaped() error {
	line, err := m.line()
	if err != nil {
		return err
	}
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
		v, err := hexadecimal(line[i+2:], digits)
		if err != nil {
			return err
		}
		out.WriteRune(rune(v))
		i += 1 + digits
	}
	m.push(out.String())
	return nil
}

// hexadecimal is the number that a str's escape ends with.
func hexadecimal(s string, digits int) (uint64, error) {
	v, err := strconv.ParseUint(s[:min(digits, len(s))], 16, 32)
	if err != nil || len(s) < digits || v > utf8.MaxRune {
		return 0, errors.New("a str with a broken escape")
	}
	return v, nil
}
