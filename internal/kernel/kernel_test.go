package kernel

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// eachSet runs test with every Set that this machine can run, whichever is active.
func eachSet(t *testing.T, test func(t *testing.T, s *Set)) {
	t.Helper()
	for _, s := range Sets() {
		t.Run(s.Name, func(t *testing.T) { test(t, s) })
	}
}

// TestEverySetRuns says which Sets of this build the other tests cannot try here. It fails for those that the
// environment variable VGGO_REQUIRE_KERNELS lists, separated by commas, and for names in it that no build knows.
func TestEverySetRuns(t *testing.T) {
	const env = "VGGO_REQUIRE_KERNELS"
	required := strings.FieldsFunc(os.Getenv(env), func(r rune) bool { return r == ',' })
	for _, name := range required {
		if _, err := Lookup(name); err != nil {
			t.Errorf("%s: %v", env, err)
		}
	}
	for _, c := range candidates {
		t.Run(c.set.Name, func(t *testing.T) {
			if _, err := Lookup(c.set.Name); err != nil && !slices.Contains(required, c.set.Name) {
				t.Skip(err)
			}
		})
	}
}

func TestSets(t *testing.T) {
	sets := Sets()
	if last := sets[len(sets)-1]; last != &generic {
		t.Errorf("the last set is %s, not the portable one", last)
	}
	for _, s := range sets {
		found, err := Lookup(s.Name)
		if err != nil || found != s {
			t.Errorf("Lookup(%q) = %v, %v", s.Name, found, err)
		}
		if chosen, err := choose(s.Name); err != nil || chosen != s {
			t.Errorf("choose(%q) = %v, %v", s.Name, chosen, err)
		}
	}
	if s, err := choose(""); err != nil || s != sets[0] {
		t.Errorf("without %s the set is %v, %v, not the best, %s", Env, s, err, sets[0])
	}
}

func TestActive(t *testing.T) {
	want, wantErr := choose(os.Getenv(Env))
	got, err := Active()
	if got != want || (err == nil) != (wantErr == nil) {
		t.Errorf("Active() = %v, %v with %s=%q, want %v, %v", got, err, Env, os.Getenv(Env), want, wantErr)
	}
}

func TestChooseErrors(t *testing.T) {
	lacking := Set{Name: "lacking"}
	known := candidates
	t.Cleanup(func() { candidates = known })
	candidates = append([]candidate{{&lacking, func() bool { return false }}}, known...)

	for _, test := range []struct{ name, says string }{
		{"avx1024", `unknown kernel set "avx1024"`},
		{"Generic", `unknown kernel set "Generic"`},
		{"lacking", `kernel set "lacking" needs instructions that this processor lacks`},
	} {
		s, err := choose(test.name)
		if err == nil {
			t.Errorf("choose(%q) = %v, no error", test.name, s)
			continue
		}
		for _, part := range []string{Env, test.says, generic.Name} { // which variable, what is wrong, what would do
			if !strings.Contains(err.Error(), part) {
				t.Errorf("choose(%q): %q does not say %q", test.name, err, part)
			}
		}
	}
	if slices.Contains(Sets(), &lacking) {
		t.Error("Sets lists a set that the processor lacks")
	}
}

func TestBlocks(t *testing.T) {
	for _, test := range []struct{ n, blocks int }{{0, 0}, {1, 1}, {15, 1}, {16, 1}, {17, 2}, {512, 32}} {
		if got := Blocks(test.n); got != test.blocks {
			t.Errorf("Blocks(%d) = %d, want %d", test.n, got, test.blocks)
		}
	}
}

// panics reports whether f panics with a message of this package.
func panics(f func()) (message string) {
	defer func() {
		if r := recover(); r != nil {
			message, _ = r.(string)
		}
	}()
	f()
	return ""
}
