package shard_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggo/vggo/internal/shard"
)

func TestParse(t *testing.T) {
	slurm := func(id, first, last, count string) map[string]string {
		return map[string]string{"SLURM_ARRAY_TASK_ID": id, "SLURM_ARRAY_TASK_MIN": first, "SLURM_ARRAY_TASK_MAX": last,
			"SLURM_ARRAY_TASK_COUNT": count}
	}
	job := func(i string) map[string]string { return map[string]string{"JOB_COMPLETION_INDEX": i} }
	both := slurm("3", "0", "7", "8")
	both["JOB_COMPLETION_INDEX"] = "4"
	for _, c := range []struct {
		text         string
		env          map[string]string
		want, source string // want is an error where source is "error"
	}{
		{"3/64", nil, "3/64", ""},
		{"0/1", nil, "0/1", ""},
		{"3/64", slurm("7", "0", "63", "64"), "3/64", ""}, // what is said wins
		{"auto/64", slurm("7", "0", "63", "64"), "7/64", "SLURM_ARRAY_TASK_ID"},
		{"auto/64", slurm("7", "7", "7", "1"), "7/64", "SLURM_ARRAY_TASK_ID"}, // one task repeated
		{"auto/64", job("63"), "63/64", "JOB_COMPLETION_INDEX"},
		{"auto", slurm("7", "0", "63", "64"), "7/64", "SLURM_ARRAY_TASK_ID"},
		{"auto", slurm("64", "1", "64", "64"), "63/64", "SLURM_ARRAY_TASK_ID"},

		{"", nil, "want i/n", "error"},
		{"3", nil, "want i/n", "error"},
		{"64/64", nil, "the first is 0/64 and the last 63/64", "error"},
		{"-1/64", nil, "the first is 0/64", "error"},
		{"0/0", nil, "want i/n", "error"},
		{"0/9999999", nil, "want i/n", "error"},
		{"1/x", nil, "want i/n", "error"},
		{"auto/64", nil, "neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set", "error"},
		{"auto", nil, "neither", "error"},
		{"auto/64", slurm("64", "1", "64", "64"), `SLURM_ARRAY_TASK_ID is "64"`, "error"},
		{"auto/64", both, "which of them is meant?", "error"},
		{"auto", job("3"), "want auto/n, n being the Job's completions", "error"},
		{"auto", slurm("7", "7", "7", "1"), "may be one of many", "error"},
		{"auto", slurm("4", "0", "10", "6"), "has gaps", "error"},
		{"auto", slurm("4", "0", "", "6"), `SLURM_ARRAY_TASK_MAX is ""`, "error"},
	} {
		s, source, err := shard.Parse(c.text, func(name string) string { return c.env[name] })
		if c.source == "error" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q in %v: %v, %v; want an error with %q", c.text, c.env, s, err, c.want)
			}
		} else if err != nil || s.String() != c.want || source != c.source {
			t.Errorf("%q in %v: %v of %q (%v), want %s of %q", c.text, c.env, s, source, err, c.want, c.source)
		}
	}
}

// TestRange: the stretches of a list follow one another, cover it, and are as long as each other but for one.
func TestRange(t *testing.T) {
	for _, n := range []int{0, 1, 5, 63, 64, 65, 1000, 1<<24 - 1} {
		for _, of := range []int{1, 2, 7, 64, 1 << 20} {
			end, least, most := 0, n, 0
			for i := range of {
				from, to := shard.Shard{Index: i, Of: of}.Range(n)
				if from != end || to < from {
					t.Fatalf("%d/%d of %d: %d to %d after %d", i, of, n, from, to, end)
				}
				end, least, most = to, min(least, to-from), max(most, to-from)
			}
			if end != n || most-least > 1 {
				t.Errorf("%d shards of %d end at %d, of %d to %d", of, n, end, least, most)
			}
		}
	}
}

func header(index, of, pictures int, facts ...string) shard.Header {
	h := shard.Header{Command: "eval", Index: index, Of: of, Pictures: pictures, Head: json.RawMessage(`{"a":1}`)}
	for _, f := range facts {
		h.Run = append(h.Run, shard.Fact{Name: f[:1], Value: f[1:]})
	}
	return h
}

// write writes records until one is negative: then as much of the shard as a process that is killed.
func write(t *testing.T, path string, h shard.Header, records ...int) {
	t.Helper()
	w, err := shard.Begin(path, h)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, r := range records[w.Done():] {
		if r < 0 {
			return
		}
		if err := w.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
}

// TestCut goes on from a file that was cut off after each of its bytes, with and without what a broken disk may put
// behind them, and expects the file of a run that nobody disturbed.
func TestCut(t *testing.T) {
	dir := t.TempDir()
	h := header(1, 3, 12, "fx")
	whole := filepath.Join(dir, "whole.jsonl")
	write(t, whole, h, 10, 20, 30, 40)
	want, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(want) + 1 {
		for _, behind := range []string{"", "\x00\x00\x00\n\x00"} {
			path := filepath.Join(dir, "cut.jsonl")
			if err := os.WriteFile(path+".partial", append(want[:n:n], behind...), 0o666); err != nil {
				t.Fatal(err)
			}
			w, err := shard.Begin(path, h)
			if err != nil {
				if first := strings.IndexByte(string(want), '\n'); behind != "" && n <= first {
					continue // a first line that is none is not of this run
				}
				t.Fatalf("cut after %d bytes: %v", n, err)
			}
			for _, r := range []int{10, 20, 30, 40}[w.Done():] {
				if err := w.Append(r); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Finish(); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != string(want) {
				t.Fatalf("cut after %d bytes: %q (%v), want %q", n, got, err, want)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSet: the shards of one run are put in their order, and whatever is not one whole run is refused by name.
func TestSet(t *testing.T) {
	dir := t.TempDir()
	output := filepath.Join(dir, "val[1].json")
	var paths []string
	for i := range 3 {
		s := shard.Shard{Index: i, Of: 3}
		paths = append(paths, s.Path(output, shard.Ending))
		from, to := s.Range(4)
		write(t, paths[i], header(i, 3, 4, "fx", "gy"), []int{1, 2, 3, 4}[from:to]...)
	}
	if want := filepath.Join(dir, "val[1].shard-2-of-3.jsonl"); paths[2] != want {
		t.Errorf("a shard in %s, want %s", paths[2], want)
	}
	begun := shard.Shard{Index: 1, Of: 9}.Path(output, shard.Ending)
	write(t, begun, header(1, 9, 99, "fx"), 5, -1)
	whole, unfinished, err := shard.Beside(output)
	if err != nil || fmt.Sprint(whole) != fmt.Sprint(paths) || len(unfinished) != 1 || unfinished[0] != begun+".partial" {
		t.Errorf("beside %s: %v and %v (%v)", output, whole, unfinished, err)
	}
	set, err := shard.OpenSet("eval", []string{paths[1], paths[2], paths[0]})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for i := range set.Paths {
		err := set.Records(i, func(r []byte) error {
			all = append(all, strings.TrimSpace(string(r)))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(all) != "[1 2 3 4]" {
		t.Errorf("records %v", all)
	}
	if w, err := shard.Begin(paths[1], header(1, 3, 4, "fx", "gy")); w != nil || err != nil {
		t.Errorf("a whole shard is begun again: %v, %v", w, err)
	}

	other := filepath.Join(dir, "other.jsonl")
	file := func(text string) string {
		if err := os.WriteFile(other, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return other
	}
	made := func(h shard.Header, records ...int) string {
		if err := os.RemoveAll(other); err != nil {
			t.Fatal(err)
		}
		write(t, other, h, records...)
		return other
	}
	second, err := os.ReadFile(paths[2])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		last func() string
		want string
	}{
		{"missing", func() string { return paths[0] }, "is there twice"},
		{"other facts", func() string { return made(header(2, 3, 4, "fx", "gz"), 3, 4) }, "its g is z, not y"},
		{"fewer facts", func() string { return made(header(2, 3, 4, "fx"), 3, 4) }, "its list of facts is 1, not 2"},
		{"more pictures", func() string { return made(header(2, 3, 5, "fx", "gy"), 3, 4) },
			"its number of pictures is 5, not 4"},
		{"more shards", func() string { return made(header(2, 4, 4, "fx", "gy"), 3) }, "its number of shards is 4, not 3"},
		{"no shard", func() string { return file("{}\n") }, "no shard of vggo's"},
		{"half a line", func() string { return file(`{"command":`) }, "it ends in its first line"},
		{"nonsense", func() string { return file(`{"command":"eval","shard":3,"of":3}` + "\n") }, "shard 3 of 3"},
		{"cut off", func() string { return file(string(second[:len(second)-2])) }, "cut off: it holds 1 records for 2"},
		{"too long", func() string { return file(string(second) + "7\n") }, "more records than its 2"},
	} {
		set, err := shard.OpenSet("eval", []string{paths[0], paths[1], c.last()})
		if err == nil {
			err = set.Records(2, func([]byte) error { return nil })
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
	if _, err := shard.OpenSet("features", paths); err == nil || !strings.Contains(err.Error(), "its command is eval") {
		t.Errorf("shards of another command: %v", err)
	}
	_, err = shard.OpenSet("eval", paths[1:2])
	var lack *shard.MissingError
	if !errors.As(err, &lack) || lack.List() != "0,2" {
		t.Errorf("one shard of three: %v", err)
	}
	if list := (&shard.MissingError{Missing: []int{0, 4, 5, 6, 9, 10}}).List(); list != "0,4-6,9-10" {
		t.Errorf("missing shards are listed as %s", list)
	}
	if _, err := shard.Begin(begun, header(1, 9, 99, "fz")); !errors.As(err, new(*shard.OtherError)) {
		t.Errorf("going on with another run's shard: %v", err)
	}
}

// FuzzSet reads what may be a shard's file: it is an error, or holds as many records as it says.
func FuzzSet(f *testing.F) {
	f.Add([]byte(`{"command":"eval","shard":0,"of":1,"pictures":2,"run":[],"head":{}}` + "\n1\n2\n"))
	f.Add([]byte(`{"command":"eval","shard":0,"of":1000000,"pictures":2}` + "\n"))
	f.Add([]byte(`{"command":"eval","shard":-1,"of":0,"pictures":-2}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "f.jsonl")
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		set, err := shard.OpenSet("eval", []string{path})
		if err != nil {
			return
		}
		n := 0
		if err := set.Records(0, func([]byte) error { n++; return nil }); err == nil && n != set.Pictures {
			t.Errorf("%d records of %d pictures", n, set.Pictures)
		}
	})
}
