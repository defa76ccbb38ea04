package train

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/parallel"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/vision"
)

// literal has path.Match take a layer's name as it is.
var literal = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

// makeRules puts the recipe's rates and rules between the one of firstRate, which they override, and the one that
// whitening needs.
func (t *Trainer) makeRules() error {
	if err := checkRules(&t.recipe.Optimiser, t.recipe.Rules, t.params); err != nil {
		return err
	}
	rules, err := t.recipe.allRules(t.placed)
	if t.recipe.Init.Level {
		t.rules = t.firstRate(rules)
	}
	t.rules = append(t.rules, rules...)
	return err
}

// allRules are what the recipe's rates make, its rules, and what whitening needs.
func (r Recipe) allRules(placed *arch.Placement) ([]Rule, error) {
	rates, err := r.rateRules(placed)
	if err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	rules := slices.Concat(rates, r.Rules)
	if r.Init.Whiten {
		first, err := firstConv(placed)
		if err != nil {
			return nil, err
		}
		freeze := true
		rules = append(rules, Rule{Params: literal.Replace(first.Name) + "/w", Freeze: &freeze})
	}
	return rules, nil
}

// begin gives every parameter its first value.
func (t *Trainer) begin() error {
	initialiser, err := t.recipe.Init.initialiser()
	if err != nil {
		return err
	}
	t.params.Init(initialiser, t.recipe.Seed)
	for _, p := range t.params.List {
		scale := float32(settingsOf(p.Param, &Optimise{}, t.rules).scale)
		if scale != 1 {
			for i := range p.Data {
				p.Data[i] *= scale
			}
		}
	}
	for _, layer := range t.placed.Layers {
		if conv, ok := layer.Op.(arch.Conv); ok && t.recipe.Init.Identity && conv.Groups <= 1 {
			identity(t.params.Get(layer.Name + "/w"))
		}
	}
	if t.recipe.Init.Whiten {
		if err := t.whiten(); err != nil {
			return err
		}
	}
	given := map[string]bool{}
	for _, p := range t.params.List {
		if t.options.Start == nil {
			break
		}
		data, err := t.options.Start(p.Param)
		if err != nil {
			return err
		}
		given[p.Layer()] = given[p.Layer()] || data != nil
		if data != nil && len(data) != len(p.Data) {
			return fmt.Errorf("%d values to start %s with, it has %d", len(data), p.Name, len(p.Data))
		}
		copy(p.Data, data)
	}
	t.tellRandom(given)
	if t.recipe.Init.Level {
		return t.level(func(layer string) bool { return given[layer] })
	}
	return nil
}

// tellRandom says which layers stay at what was drawn for them at random: no value was given to them, and they are
// frozen. Whitening fills the first layer.
func (t *Trainer) tellRandom(given map[string]bool) {
	var random []string
	for _, layer := range t.placed.Layers {
		if !isWeighted(layer.Op) || given[layer.Name] || t.recipe.Init.Whiten && layer.Index == 0 {
			continue
		}
		if w := settingsOf(layer.Params[0], &Optimise{}, t.rules); w.never() {
			random = append(random, layer.Name)
		}
	}
	if random != nil {
		t.report(Report{Notice: fmt.Sprintf("%s: frozen, and at values drawn at random, since none were given",
			printable.Ends(random, 12))})
	}
}

// identity makes output channel i, as far as there is an input channel i, that channel: the middle of its kernel is 1.
// Kernels without a middle stay as they are.
func identity(w *nn.Param) {
	out, in, kh, kw := w.Shape[0], w.Shape[1], w.Shape[2], w.Shape[3]
	if kh%2 == 0 || kw%2 == 0 {
		return
	}
	filter := in * kh * kw
	for i := range min(in, out) {
		row := w.Data[i*filter:][:filter]
		clear(row)
		row[i*kh*kw+kh/2*kw+kw/2] = 1
	}
}

// whitened is how many pictures tell the patches' covariance: of CIFAR-10's 31x31 patches of each, two million.
const whitened = 2000

// whitenedShare bounds what an eigenvalue is divided by, in shares of their mean: airbench's 5e-4 for pictures of
// variance 1.
const whitenedShare = 5e-4

// firstConv is the layer that whiten fills.
func firstConv(placed *arch.Placement) (arch.Placed, error) {
	for _, layer := range placed.Layers {
		if conv, ok := layer.Op.(arch.Conv); ok {
			size := layer.Params[0].Count() / layer.Out.C
			if layer.Index > 0 || conv.Groups > 1 || layer.Out.C%2 != 0 || layer.Out.C/2 > size {
				return arch.Placed{}, fmt.Errorf("init.whiten: %s cannot whiten: want the first layer, an even number of filters, "+
					"at most twice its kernel's %d values", layer.Name, size)
			}
			return layer, nil
		}
	}
	return arch.Placed{}, fmt.Errorf("init.whiten: %s has no convolution", placed.Network.Name)
}

// whiten makes the first convolution's filters the directions in which the training pictures' patches vary most,
// divided by how much, and their negatives; biases take the mean away.
func (t *Trainer) whiten() error {
	layer, err := firstConv(t.placed)
	if err != nil {
		return err
	}
	w := t.params.Get(layer.Name + "/w")
	kh, kw := w.Shape[2], w.Shape[3]
	window := arch.Shape{C: t.net.Input.C, H: kh, W: kw}
	mean, covariance, err := patches(t.train, t.augmenter.preprocess, window, whitened, t.recipe.Seed, t.threads)
	if err != nil {
		return err
	}
	size := len(mean)
	values, vectors := eigen(covariance)
	trace := 0.0
	for _, v := range values {
		trace += v
	}
	half := layer.Out.C / 2
	bias := t.params.Get(layer.Name + "/b")
	for k := range half {
		scale := 1 / math.Sqrt(values[k]+whitenedShare*trace/float64(size))
		dot := 0.0
		for i, v := range vectors[k] {
			w.Data[k*size+i], w.Data[(k+half)*size+i] = float32(v*scale), float32(-v*scale)
			dot += float64(v * scale * mean[i])
		}
		if bias != nil {
			bias.Data[k], bias.Data[k+half] = float32(-dot), float32(dot)
		}
	}
	return nil
}

// patches is the mean and the covariance of a window's values, in C,H,W order, wherever it lies in some pictures of a
// data set.
func patches(d Dataset, preprocess vision.Preprocess, window arch.Shape, most int, seed uint64,
	threads int) (mean []float64, covariance [][]float64, err error) {
	const group = 50 // pictures that one task sums
	plain := newAugmenter(Augment{}, preprocess, 0)
	size := window.C * window.H * window.W
	samples := order(d.Len(), seed, 0)
	samples = samples[:min(len(samples), most)]
	groups := (len(samples) + group - 1) / group
	sums, counts, faults := make([][]float64, groups), make([]int, groups), make([]error, groups)
	parallel.Each(threads, groups, func(g int) {
		sum := make([]float64, size+size*size) // of values, then of products
		image := make([]float32, window.C*plain.h*plain.w)
		patch := make([]float64, size)
		for _, sample := range samples[g*group : min((g+1)*group, len(samples))] {
			p, err := d.Picture(sample)
			if err == nil {
				p, err = plain.prepare(p)
			}
			if err != nil {
				faults[g] = err
				continue // the feed will name it
			}
			plain.put(image, p, 0, sample)
			for y := range plain.h - window.H + 1 {
				for x := range plain.w - window.W + 1 {
					i := 0
					for c := range window.C {
						for dy := range window.H {
							for dx := range window.W {
								patch[i] = float64(image[(c*plain.h+y+dy)*plain.w+x+dx])
								i++
							}
						}
					}
					for i, v := range patch {
						sum[i] += v
						row := sum[size+i*size:][:size]
						for j, u := range patch[:i+1] {
							row[j] += v * u // of two float32: exact, fused or not
						}
					}
					counts[g]++
				}
			}
		}
		sums[g] = sum
	})
	total, count := make([]float64, size+size*size), 0
	for g, sum := range sums { // in order
		for i, v := range sum {
			total[i] += v
		}
		count += counts[g]
	}
	if count == 0 {
		return nil, nil, &EmptyError{cmp.Or(faults...)}
	}
	mean = total[:size]
	for i := range mean {
		mean[i] /= float64(count)
	}
	covariance = make([][]float64, size)
	for i := range covariance {
		covariance[i] = make([]float64, size)
		for j := range i + 1 {
			c := total[size+i*size+j]/float64(count) - float64(mean[i]*mean[j])
			covariance[i][j], covariance[j][i] = c, c
		}
	}
	return mean, covariance, nil
}

// turned is a point turned by the angle of this cosine and sine.
func turned(c, s, x, y float64) (float64, float64) {
	return float64(c*x) - float64(s*y), float64(s*x) + float64(c*y)
}

// eigen returns the eigenvalues of a symmetric matrix, the largest first, and their eigenvectors, by Jacobi's
// rotations. It overwrites the matrix.
func eigen(a [][]float64) (values []float64, vectors [][]float64) {
	n := len(a)
	v := make([][]float64, n) // eigenvectors in columns
	for i := range v {
		v[i] = make([]float64, n)
		v[i][i] = 1
	}
	for range 100 { // a sweep about squares what is off the diagonal: ten would do
		off, on := 0.0, 0.0
		for i := range n {
			on += float64(a[i][i] * a[i][i])
			for j := range i {
				off += float64(a[i][j] * a[i][j])
			}
		}
		if off <= 1e-30*on {
			break
		}
		for p := range n {
			for q := p + 1; q < n; q++ {
				if a[p][q] == 0 {
					continue
				}
				theta := (a[q][q] - a[p][p]) / (2 * a[p][q])
				tangent := 1 / (math.Abs(theta) + math.Sqrt(float64(theta*theta)+1))
				if theta < 0 {
					tangent = -tangent
				}
				c := 1 / math.Sqrt(float64(tangent*tangent)+1)
				s := tangent * c
				for k := range n {
					a[k][p], a[k][q] = turned(c, s, a[k][p], a[k][q])
				}
				for k := range n {
					a[p][k], a[q][k] = turned(c, s, a[p][k], a[q][k])
					v[k][p], v[k][q] = turned(c, s, v[k][p], v[k][q])
				}
			}
		}
	}
	places := make([]int, n)
	for i := range places {
		places[i] = i
	}
	sort.SliceStable(places, func(i, j int) bool { return a[places[i]][places[i]] > a[places[j]][places[j]] })
	for _, at := range places {
		vector := make([]float64, n)
		for k := range n {
			vector[k] = v[k][at]
		}
		values, vectors = append(values, a[at][at]), append(vectors, vector)
	}
	return values, vectors
}
