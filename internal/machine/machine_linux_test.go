package machine

import (
	"fmt"
	"testing"
	"testing/fstest"
)

// TestPerformanceCores holds the ways in which Linux tells cores of different kinds apart.
func TestPerformanceCores(t *testing.T) {
	each := func(files fstest.MapFS, name string, values ...string) fstest.MapFS {
		for i, v := range values {
			files[fmt.Sprintf("system/cpu/cpu%d/%s", i, name)] = &fstest.MapFile{Data: []byte(v + "\n")}
		}
		return files
	}
	const clock = "cpufreq/cpuinfo_max_freq"
	hybrid := fstest.MapFS{"cpu_core/cpus": {Data: []byte("0-3,8\n")}}
	for _, c := range []struct {
		what  string
		files fstest.MapFS
		want  int
	}{
		{"nothing told", fstest.MapFS{}, 0},
		{"a big and little Arm", each(fstest.MapFS{}, "cpu_capacity", "446", "446", "1024", "1024", "1024"), 3},
		{"an Arm of three kinds", each(fstest.MapFS{}, "cpu_capacity", "250", "760", "1024"), 1},
		{"a server", each(fstest.MapFS{}, "cpu_capacity", "1024", "1024"), 0},
		{"Intel's hybrid", each(hybrid, clock, "5000000", "3800000"), 5},
		{"clocks apart", each(fstest.MapFS{}, clock, "5200000", "5500000", "3800000", "3800000"), 2},
		{"favoured cores", each(fstest.MapFS{}, clock, "5200000", "5500000"), 0},
		{"not a number", each(fstest.MapFS{}, clock, "5200000", "much"), 0},
		{"not a list", fstest.MapFS{"cpu_core/cpus": {Data: []byte("\n")}}, 0},
	} {
		if got := performanceCores(c.files); got != c.want {
			t.Errorf("%s: %d performance cores, want %d", c.what, got, c.want)
		}
	}
}
