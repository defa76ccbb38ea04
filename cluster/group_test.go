package cluster_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vggo/vggo/cluster"
)

// each runs a function for every rank of a group of goroutines.
func each(t *testing.T, n int, do func(g *cluster.Group) error) []error {
	t.Helper()
	groups, err := cluster.Local(n)
	if err != nil {
		t.Fatal(err)
	}
	errs := make([]error, n)
	var done sync.WaitGroup
	for rank, g := range groups {
		done.Go(func() {
			errs[rank] = do(g)
			errs[rank] = errors.Join(errs[rank], g.Close(errs[rank]))
		})
	}
	done.Wait()
	return errs
}

// lengths are of values that are summed: small ones, which go together, a share that is not whole, and several pieces.
var lengths = []int{1, 7, 100, 70_001, 30, 1<<20 + 3, 65_536, 2, 40_000, 40_000}

// valuesOf are a rank's, whose sum depends on the order.
func valuesOf(rank, length int) []float32 {
	r := rand.New(rand.NewPCG(uint64(rank), uint64(length)))
	values := make([]float32, length)
	for i := range values {
		values[i] = math.Float32frombits(r.Uint32()&0x87ffffff | 0x38000000) // sixteen powers of two, both signs
	}
	return values
}

// treeOf is the sum over ranks from one on, in the order that the package promises.
func treeOf(first, count, length int) []float32 {
	if count == 1 {
		return valuesOf(first, length)
	}
	sum := treeOf(first, count/2, length)
	for i, v := range treeOf(first+count/2, count-count/2, length) {
		sum[i] += v
	}
	return sum
}

// useGroup calls everything that a group has, and checks what comes.
func useGroup(g *cluster.Group) error {
	n := g.Size()
	for range 2 {
		var sums [][]float32
		for _, length := range lengths {
			sums = append(sums, valuesOf(g.Rank(), length))
			g.Sum(sums[len(sums)-1])
		}
		// Sums go on meanwhile.
		all, err := g.Gather([]float64{float64(g.Rank()), 0.1})
		if err != nil {
			return err
		}
		for rank, values := range all {
			if !slices.Equal(values, []float64{float64(rank), 0.1}) {
				return fmt.Errorf("gathered %v of rank %d", values, rank)
			}
		}
		texts, err := g.Texts(strings.Repeat("x", g.Rank()))
		if err != nil {
			return err
		}
		for rank, text := range texts {
			if text != strings.Repeat("x", rank) {
				return fmt.Errorf("rank %d says %q", rank, text)
			}
		}
		for asked := range n + 1 {
			if any, err := g.Any(g.Rank() == asked); err != nil || any != (asked < n) {
				return fmt.Errorf("any of rank %d: %v, %v", asked, any, err)
			}
		}
		one := float32(g.Rank()) // between the sums
		collected := make([]float32, 3*n)
		if err := g.Collect([]float32{one, -one, 7}, collected); err != nil {
			return err
		}
		for i, v := range collected {
			if rank := float32(i / 3); v != []float32{rank, -rank, 7}[i%3] {
				return fmt.Errorf("collected %v of %d ranks", collected, n)
			}
		}
		g.Sum(sums[0][:0])
		if err := g.Wait(); err != nil {
			return err
		}
		for i, length := range lengths {
			if length > 100_000 && i%n != g.Rank() { // it takes a while to know
				continue
			}
			if !slices.Equal(sums[i], treeOf(0, n, length)) {
				return fmt.Errorf("%d ranks: the sum of %d values is not the tree's", n, length)
			}
		}
	}
	return nil
}

func TestGroup(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4} {
		if err := errors.Join(each(t, n, useGroup)...); err != nil {
			t.Errorf("%d ranks: %v", n, err)
		}
	}
}

// TestAlone: a nil group is a process by itself.
func TestAlone(t *testing.T) {
	var g *cluster.Group
	if err := useGroup(g); err != nil {
		t.Error(err)
	}
	if err := g.Close(nil); err != nil {
		t.Error(err)
	}
}

// TestFailure: what one rank fails of ends what every other one waits for, and is named.
func TestFailure(t *testing.T) {
	waits := map[string]func(g *cluster.Group) error{
		"sum": func(g *cluster.Group) error {
			g.Sum(make([]float32, 100_000))
			return g.Wait()
		},
		"gather": func(g *cluster.Group) error {
			_, err := g.Gather([]float64{1})
			return err
		},
		"close": func(g *cluster.Group) error { return nil },
	}
	for name, wait := range waits {
		errs := each(t, 3, func(g *cluster.Group) error {
			if g.Rank() == 1 {
				return errors.New("no space left on device")
			}
			return wait(g)
		})
		for rank, err := range errs {
			var of *cluster.RankError
			if told := errors.As(err, &of); told == (rank == 1) || told && of.Rank != 1 ||
				!strings.Contains(fmt.Sprint(err), "no space left") {
				t.Errorf("%s: rank %d is told: %v", name, rank, err)
			}
		}
	}
}

func TestLaunched(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		want cluster.Launch
		ok   bool
	}{
		{"none", nil, cluster.Launch{}, false},
		{"Open MPI", map[string]string{"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4",
			"OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, cluster.Launch{Launcher: "Open MPI's mpirun", Rank: 1, Size: 4, Local: 2}, true},
		{"MPICH", map[string]string{"PMI_RANK": "0", "PMI_SIZE": "2"},
			cluster.Launch{Launcher: "MPICH's mpirun", Size: 2}, true},
		{"one", map[string]string{"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1"}, cluster.Launch{}, false},
		{"nonsense", map[string]string{"PMI_RANK": "7", "PMI_SIZE": "2"}, cluster.Launch{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, name := range []string{"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"} {
				t.Setenv(name, "")
			}
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			if got, ok := cluster.Launched(); got != c.want || ok != c.ok {
				t.Errorf("%+v, %v", got, ok)
			}
		})
	}
}
