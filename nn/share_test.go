package nn_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

// normed is everything with a second batch norm, behind a fully connected layer, and a convolution of stride 1 whose
// weight gradient goes by groups of tiles.
func normed() *arch.Network {
	net := everything()
	at := slices.IndexFunc(net.Layers, func(l arch.Layer) bool { return l.Name == "relu3" })
	net.Layers = slices.Insert(net.Layers, at, arch.Layer{Name: "bn3", Op: arch.BatchNorm{}})
	return net
}

// meeting gives every one of some goroutines the values of all.
type meeting struct {
	mu    sync.Mutex
	full  sync.Cond
	round int
	here  int
	rows  [][]float64
	last  [][]float64
}

func newMeeting(n int) *meeting {
	m := &meeting{rows: make([][]float64, n)}
	m.full.L = &m.mu
	return m
}

func (m *meeting) gather(rank int, mine []float64) ([][]float64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[rank] = slices.Clone(mine)
	if m.here++; m.here == len(m.rows) {
		m.last, m.rows, m.here = m.rows, make([][]float64, len(m.rows)), 0
		m.round++
		m.full.Broadcast()
	} else {
		for round := m.round; round == m.round; {
			m.full.Wait()
		}
	}
	all := make([][]float64, len(m.last))
	for i, row := range m.last {
		all[i] = slices.Clone(row)
	}
	return all, nil
}

// sharedPass is what a step's passes leave: by image the logits, by name gradients, added up over the Plans, and
// running statistics.
type sharedPass struct {
	logits []float32
	values map[string][]float32
}

// pass runs a batch on so many Plans side by side.
func pass(t *testing.T, net *arch.Network, plans, parts int, byPart bool, algo nn.Algo, x *tensor.Tensor,
	dlogits []float32) sharedPass {
	t.Helper()
	images := x.N / plans
	all, logits, ready := make([]*nn.Params, plans), make([][]float32, plans), make([][]string, plans)
	m := newMeeting(plans)
	errs := make([]error, plans)
	var done sync.WaitGroup
	for rank := range plans {
		all[rank] = newParams(t, net, nn.He)
		o := nn.Options{Batch: images, Training: true, Threads: 1 + rank%3, Algo: algo, Share: nn.Share{
			First: rank * images, Parts: parts / plans, NormParts: byPart,
			Ready: func(q *nn.Param, _ bool) { ready[rank] = append(ready[rank], q.Name) }}}
		if plans > 1 {
			o.Share.Gather = func(mine []float64) ([][]float64, error) { return m.gather(rank, mine) }
		}
		plan := compile(t, net, all[rank], o)
		done.Go(func() {
			for range 2 { // what the first pass leaves must not matter to the second
				ready[rank] = nil
				if errs[rank] = plan.Forward(x.Images(rank*images, (rank+1)*images)); errs[rank] != nil {
					return
				}
				out := plan.Logits()
				logits[rank] = slices.Clone(out.Data)
				grad := tensor.New(out.N, out.C, out.H, out.W)
				copy(grad.Data, dlogits[rank*len(grad.Data):])
				if errs[rank] = plan.Backward(grad); errs[rank] != nil {
					return
				}
			}
		})
	}
	done.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	p := sharedPass{slices.Concat(logits...), map[string][]float32{}}
	var names []string
	for i, q := range all[0].List {
		if !q.Trainable {
			p.values[q.Name] = q.Data
			for _, other := range all {
				if !slices.Equal(other.List[i].Data, q.Data) {
					t.Errorf("%d plans move %s apart", plans, q.Name)
				}
			}
			continue
		}
		names = append(names, q.Name)
		for width := 1; width < plans; width *= 2 { // the tree
			for rank := 0; rank < plans; rank += 2 * width {
				to, add := all[rank].List[i].Grad, all[rank+width].List[i].Grad
				for j := range to {
					to[j] += add[j]
				}
			}
		}
		p.values[q.Name] = all[0].List[i].Grad
	}
	for rank := range ready {
		if slices.Sort(ready[rank]); !slices.Equal(ready[rank], slices.Sorted(slices.Values(names))) {
			t.Errorf("%d plans: told of %q", plans, ready[rank])
		}
	}
	return p
}

func batchOf(n int, net *arch.Network, classes int) (*tensor.Tensor, []float32) {
	r := rand.New(rand.NewPCG(3, 1))
	x := tensor.New(n, net.Input.C, net.Input.H, net.Input.W)
	for i := range x.Data {
		x.Data[i] = float32(r.NormFloat64())
	}
	grad := make([]float32, n*classes)
	for i := range grad {
		grad[i] = float32(r.NormFloat64()) / float32(n)
	}
	return x, grad
}

// TestShare: the same parts give the same bits, however many Plans share them.
func TestShare(t *testing.T) {
	net := normed()
	x, grad := batchOf(16, net, 11)
	for _, algo := range []nn.Algo{nn.Auto, nn.Direct, nn.Winograd4} {
		for _, byPart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/by part %v", algo, byPart), func(t *testing.T) {
				want := pass(t, net, 1, 8, byPart, algo, x, grad)
				for _, plans := range []int{2, 4, 8} {
					got := pass(t, net, plans, 8, byPart, algo, x, grad)
					if !slices.Equal(got.logits, want.logits) {
						t.Errorf("%d plans: other logits than one", plans)
					}
					for name, values := range want.values {
						if !slices.Equal(got.values[name], values) {
							t.Errorf("%d plans: %s is another than one's", plans, name)
						}
					}
				}
			})
		}
	}
}

// TestShareWithoutParts: Plans follow one of the whole batch as far as roundings go, dropout's masks included.
func TestShareWithoutParts(t *testing.T) {
	net := normed()
	x, grad := batchOf(12, net, 11)
	want := pass(t, net, 1, 1, false, nn.Direct, x, grad)
	got := pass(t, net, 2, 2, false, nn.Direct, x, grad)
	for name, values := range want.values {
		if name == "conv1_1/b" || name == "fc3/b" { // before a batch norm, which takes them away: all roundings
			continue
		}
		if e := apart(got.values[name], values); !(e < 1e-5) {
			t.Errorf("two plans: %s is %.2g away", name, e)
		}
	}
	// By parts, batch norm is another function.
	if byPart := pass(t, net, 2, 2, true, nn.Direct, x, grad); apart(byPart.logits, want.logits) < 1e-3 {
		t.Error("batch norm of parts gives what that of the batch does")
	}
}

// TestShareFactors: a fully connected layer of many weights learns from all Plans' inputs and outputs' gradients, and
// has the gradients of one Plan with the whole batch to the bit; a narrow one's are added up.
func TestShareFactors(t *testing.T) {
	net := &arch.Network{Name: "wide", Input: arch.Shape{C: 3, H: 6, W: 6}, Layers: []arch.Layer{
		{Name: "conv1", Op: arch.Conv{Out: 8, Window: arch.Window{Kernel: arch.Square(3), Stride: arch.Square(1)}}},
		{Name: "relu1", Op: arch.ReLU{}},
		{Name: "flatten", Op: arch.Flatten{}}, {Name: "fc1", Op: arch.Linear{Out: 1000}}, {Name: "relu2", Op: arch.ReLU{}},
		{Name: "fc2", Op: arch.Linear{Out: 501, NoBias: true}}, {Name: "fc3", Op: arch.Linear{Out: 5}},
	}}
	const images = 8
	x, dlogits := batchOf(images, net, 5)
	step := func(plans int) (grads []map[string][]float32, whole map[string]bool) {
		grads, whole = make([]map[string][]float32, plans), map[string]bool{}
		m, errs := newMeeting(plans), make([]error, plans)
		var done sync.WaitGroup
		for rank := range plans {
			params := newParams(t, net, nn.He)
			own := images / plans
			plan := compile(t, net, params, nn.Options{Batch: own, Training: true, Threads: 1 + rank%2, Share: nn.Share{
				First: rank * own, Plans: plans,
				Collect: func(mine, all []float32) error {
					values := make([]float64, len(mine))
					for i, v := range mine {
						values[i] = float64(v)
					}
					rows, err := m.gather(rank, values)
					for i, v := range slices.Concat(rows...) {
						all[i] = float32(v)
					}
					return err
				},
				Ready: func(q *nn.Param, all bool) {
					if rank == 0 {
						whole[q.Name] = all
					}
				},
			}})
			done.Go(func() {
				for range 2 {
					if errs[rank] = plan.Forward(x.Images(rank*own, (rank+1)*own)); errs[rank] != nil {
						return
					}
					grad := tensor.New(own, 5, 1, 1)
					copy(grad.Data, dlogits[rank*len(grad.Data):])
					if errs[rank] = plan.Backward(grad); errs[rank] != nil {
						return
					}
				}
				grads[rank] = map[string][]float32{}
				for _, q := range params.List {
					grads[rank][q.Name] = q.Grad
				}
			})
		}
		done.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		return grads, whole
	}
	one, _ := step(1)
	for _, plans := range []int{2, 4} {
		grads, whole := step(plans)
		for name, want := range map[string]bool{"fc1/w": true, "fc1/b": true, "fc2/w": true, "fc3/w": false,
			"conv1/w": false} {
			if whole[name] != want {
				t.Errorf("%d plans: %s is of the whole batch: %v", plans, name, !want)
			}
			for rank := range plans {
				if want && !slices.Equal(grads[rank][name], one[0][name]) {
					t.Errorf("%d plans: the %d-th has another gradient of %s than one plan has", plans, rank, name)
				}
			}
		}
	}
	placed := archtest.Place(t, net)
	if _, _, err := nn.Predict(placed, nn.Options{Batch: 4, Training: true, Share: nn.Share{Parts: 2, Plans: 2,
		Collect: func(mine, all []float32) error { return nil }}}); err == nil {
		t.Error("factors of parts are taken")
	}
}

// apart is the distance of two vectors, relative to the second's length.
func apart(a, b []float32) float64 {
	square, length := 0.0, 0.0
	for i := range b {
		square += float64(a[i]-b[i]) * float64(a[i]-b[i])
		length += float64(b[i]) * float64(b[i])
	}
	return math.Sqrt(square / length)
}

// TestShareRefuses: parts that are none, and a Gather that fails ends a pass with its error.
func TestShareRefuses(t *testing.T) {
	net := normed()
	params, placed := newParams(t, net, nn.He), archtest.Place(t, net)
	for _, parts := range []int{3, 16, -1} {
		o := nn.Options{Batch: 8, Training: true, Share: nn.Share{Parts: parts}}
		if _, err := nn.Compile(placed, params, o); err == nil {
			t.Errorf("8 images in %d parts are accepted", parts)
		}
	}
	lost := errors.New("rank 1 is gone")
	var at int
	plan := compile(t, net, params, nn.Options{Batch: 4, Training: true, Share: nn.Share{
		Gather: func(mine []float64) ([][]float64, error) {
			if at--; at == 0 {
				return nil, lost
			}
			return [][]float64{mine, slices.Clone(mine)}, nil
		}}})
	x, grad := batchOf(4, net, 11)
	for step := 1; ; step++ {
		at = step
		err := plan.Forward(x)
		if err == nil {
			g := tensor.New(4, 11, 1, 1)
			copy(g.Data, grad)
			err = plan.Backward(g)
		}
		if step > 4 {
			if err != nil {
				t.Fatalf("after two norms forward and back there is no fifth exchange: %v", err)
			}
			break
		}
		if !errors.Is(err, lost) {
			t.Fatalf("exchange %d fails: %v", step, err)
		}
	}
}
