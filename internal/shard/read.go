package shard

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vggo/vggo/internal/strict"
)

// maxLine bounds a line of a shard's file: 21,841 classes with their names take less than 3 MB.
const maxLine = 16 << 20

// readLine returns a line with its end; io.EOF for one that has none.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return nil, fmt.Errorf("a line of more than %d bytes", maxLine)
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

func parseHeader(path string, line []byte) (*Header, error) {
	var h Header
	if err := strict.Unmarshal(line, &h); err != nil || h.Command == "" {
		return nil, fmt.Errorf("%s: no shard of vggo's", path)
	}
	if h.Of < 1 || h.Of > most || h.Index < 0 || h.Index >= h.Of || h.Pictures < 0 {
		return nil, fmt.Errorf("%s: no shard of vggo's: shard %d of %d, %d pictures", path, h.Index, h.Of, h.Pictures)
	}
	return &h, nil
}

func readHeader(path string) (*Header, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	line, err := readLine(bufio.NewReader(file))
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("no shard of vggo's: it ends in its first line")
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return parseHeader(path, line)
}

// Set is all shards of a run, in their order.
type Set struct {
	Header // of each, but for Index
	Paths  []string
}

// MissingError is a set that lacks shards.
type MissingError struct {
	Missing    []int
	Of         int
	Unfinished []string // files that some of them have begun
}

// List is what lacks as Slurm's --array takes it: 5,17,20-23.
func (e *MissingError) List() string {
	var parts []string
	for i := 0; i < len(e.Missing); {
		first := i
		for i++; i < len(e.Missing) && e.Missing[i] == e.Missing[i-1]+1; i++ {
		}
		part := strconv.Itoa(e.Missing[first])
		if last := e.Missing[i-1]; last > e.Missing[first] {
			part += "-" + strconv.Itoa(last)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

func (e *MissingError) Error() string {
	text := fmt.Sprintf("of %d shards, counted from 0, these are missing: %s", e.Of, e.List())
	if n := len(e.Unfinished); n > 0 {
		text += fmt.Sprintf("; begun and not finished: %s", e.Unfinished[0])
		if n > 1 {
			text += fmt.Sprintf(" and %d more", n-1)
		}
	}
	return text
}

// OpenSet finds all shards of a run among files. Others than those of one run are an *OtherError, and shards that lack
// a *MissingError.
func OpenSet(command string, paths []string) (*Set, error) {
	set := &Set{Header: Header{Command: command}}
	begun := ""
	for i, path := range paths {
		h, err := readHeader(path)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			if h.Command != command {
				return nil, &OtherError{path, "", Fact{"command", h.Command}, command}
			}
			set.Header, begun = *h, path
			set.Paths = make([]string, h.Of)
		} else if err := differs(path, h, begun, &set.Header); err != nil {
			return nil, err
		}
		if twice := set.Paths[h.Index]; twice != "" {
			return nil, fmt.Errorf("shard %s is there twice: %s and %s", h.Shard(), twice, path)
		}
		set.Paths[h.Index] = path
	}
	lack := &MissingError{Of: set.Of}
	for i, path := range set.Paths {
		if path == "" {
			lack.Missing = append(lack.Missing, i)
		}
	}
	if len(lack.Missing) > 0 {
		return nil, lack
	}
	return set, nil
}

// Beside lists the files of an output's shards, and those that are not finished.
func Beside(output string) (whole, unfinished []string, err error) {
	dir, name := filepath.Split(begins(output))
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		end, ok := strings.CutPrefix(e.Name(), name)
		switch {
		case !ok:
		case strings.HasSuffix(end, Ending):
			whole = append(whole, dir+e.Name())
		case strings.HasSuffix(end, partial):
			unfinished = append(unfinished, dir+e.Name())
		}
	}
	slices.Sort(whole)
	return whole, unfinished, nil
}

// Records calls do for each record of a shard, in the order of the list. A file that does not hold as many as its
// header says is an error.
func (s *Set) Records(index int, do func(record []byte) error) error {
	path := s.Paths[index]
	h := s.Header
	h.Index = index
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewReaderSize(file, 1<<16)
	if _, err := readLine(lines); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for n := 0; ; n++ {
		line, err := readLine(lines)
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0 && n == h.count():
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%s is cut off: it holds %d records for %d pictures", path, n, h.count())
		case err != nil:
			return fmt.Errorf("%s: %w", path, err)
		case n == h.count():
			return fmt.Errorf("%s holds more records than its %d pictures", path, n)
		}
		if err := do(line); err != nil {
			return fmt.Errorf("%s: record %d: %w", path, n+1, err)
		}
	}
}
