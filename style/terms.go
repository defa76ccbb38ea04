package style

import (
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/parallel"
	"github.com/vggo/vggo/nn"
)

// worker is what terms compute with.
type worker struct {
	set     *kernel.Set
	threads int
}

// term is a part of a loss: what is wanted of a layer's output, for the one image of a map.
type term interface {
	// loss is the term's value, not weighted. It is called before back.
	loss(w worker, output nn.Map) float64
	// back adds the gradient of the value times a weight to the output's.
	back(w worker, weight float64, output, gradient nn.Map)
}

// stretch is so many values of a map, or pixels, summed by one task: sums do not depend on threads.
const stretch = 1 << 13

// sum adds in order what part makes of each stretch of n.
func (w worker) sum(n int, part func(from, to int) float64) float64 {
	return sum(w.threads, n, stretch, part)
}

// sum adds in order what part makes of each stretch of n, so many at a time.
func sum(threads, n, stretch int, part func(from, to int) float64) (total float64) {
	parts := make([]float64, (n+stretch-1)/stretch)
	parallel.Each(threads, len(parts), func(i int) { parts[i] = part(i*stretch, min((i+1)*stretch, n)) })
	for _, p := range parts {
		total += p
	}
	return total
}

// contentTerm is ½ Σ (F − P)² over all channels and pixels of a layer (Gatys et al. 2016, equation 1).
type contentTerm struct{ want []float32 }

func (t *contentTerm) loss(w worker, output nn.Map) float64 {
	f := output.Image(0)
	return w.sum(len(f), func(from, to int) float64 {
		s := 0.0
		for i := from; i < to; i++ {
			d := float64(f[i]) - float64(t.want[i])
			s += float64(d * d)
		}
		return s / 2
	})
}

// back: ∂/∂F = F − P. Their equation 2 has 0 where F is not positive: that is the ReLU's, whose output F is.
func (t *contentTerm) back(w worker, weight float64, output, gradient nn.Map) {
	f, g := output.Image(0), gradient.Image(0)
	parallel.Each(w.threads, (len(f)+stretch-1)/stretch, func(i int) {
		for i, to := i*stretch, min((i+1)*stretch, len(f)); i < to; i++ {
			g[i] += float32(weight * (float64(f[i]) - float64(t.want[i])))
		}
	})
}

// gramTerm is 1/(4N²) Σ (G/M − A/M')², with G = F·Fᵀ of N channels over M pixels, and A the same of the style's
// M' pixels: for pictures of one size their equation 4, 1/(4N²M²) Σ (G − A)².
type gramTerm struct {
	want   []float64 // A/M', as gram has it
	beside []float64 // G/M − A/M' of the last loss
}

func (t *gramTerm) loss(w worker, output nn.Map) float64 {
	t.beside = w.gram(output)
	sum := 0.0
	for i, a := range t.want {
		t.beside[i] -= a
		sum += float64(t.beside[i] * t.beside[i])
	}
	n := float64(output.Shape.C)
	return sum / (4 * n * n)
}

// back: ∂/∂F = (G/M − A/M')·F / (N²M), equation 6.
func (t *gramTerm) back(w worker, weight float64, output, gradient nn.Map) {
	n, pixels, width := float64(output.Shape.C), output.Shape.H*output.Shape.W, output.Blocks()*nn.Lanes
	weight /= n * n * float64(pixels)
	// The matrix by blocks of its columns, as Matmul takes it.
	b := make([]float32, width*width)
	for block := range output.Blocks() {
		for j := range width {
			for i, v := range t.beside[j*width+block*nn.Lanes:][:nn.Lanes] {
				b[(block*width+j)*nn.Lanes+i] = float32(weight * v)
			}
		}
	}
	f, g := output.Image(0), gradient.Image(0)
	parallel.Each(w.threads, (pixels+chain-1)/chain, func(i int) {
		from := i * chain
		runs := make([]int, output.Blocks())
		for block := range runs {
			runs[block] = (block*pixels + from) * nn.Lanes
		}
		w.set.Matmul(&kernel.Matmul{Bands: 1, M: min(chain, pixels-from), Blocks: output.Blocks(), K: nn.Lanes, Runs: runs,
			A: f, ARow: nn.Lanes, ACol: 1, B: b, BRow: nn.Lanes, BBlock: width * nn.Lanes,
			C: g[from*nn.Lanes:], CRow: nn.Lanes, CBlock: pixels * nn.Lanes, Accumulate: true})
	})
}

// chain is so many pixels that are summed in float32, one after the other; their sums are added in float64.
const chain = 256

// gram is F·Fᵀ/M of a map: a row for each channel with a column for each, the lanes beyond the last channel too. It
// is symmetric. Each task sums a band of 16 rows, from the diagonal on, over a stretch of pixels.
func (w worker) gram(m nn.Map) []float64 {
	blocks, pixels := m.Blocks(), m.Shape.H*m.Shape.W
	width, stretches := blocks*nn.Lanes, (pixels+stretch-1)/stretch
	f := m.Image(0)
	parts := make([][]float64, stretches*blocks)
	parallel.Each(w.threads, len(parts), func(task int) {
		band, begin := task%blocks, task/blocks*stretch
		size := nn.Lanes * (blocks - band) * nn.Lanes
		sum, product := make([]float64, size), make([]float32, size)
		for from := begin; from < min(begin+stretch, pixels); from += chain {
			at := (band*pixels + from) * nn.Lanes
			w.set.Matmul(&kernel.Matmul{Bands: 1, M: nn.Lanes, Blocks: blocks - band, K: min(chain, pixels-from),
				Runs: []int{at}, A: f, ARow: 1, ACol: nn.Lanes, B: f[at:], BRow: nn.Lanes, BBlock: pixels * nn.Lanes,
				C: product, CRow: nn.Lanes, CBlock: nn.Lanes * nn.Lanes})
			for i, v := range product {
				sum[i] += float64(v)
			}
		}
		parts[task] = sum
	})
	g := make([]float64, width*width)
	for task, sum := range parts {
		band := task % blocks
		for i, v := range sum {
			row, column := band*nn.Lanes+i/nn.Lanes%nn.Lanes, (band+i/(nn.Lanes*nn.Lanes))*nn.Lanes+i%nn.Lanes
			g[row*width+column] += v
		}
	}
	for row := range width {
		for column := row; column < width; column++ {
			g[row*width+column] /= float64(pixels)
			g[column*width+row] = g[row*width+column]
		}
	}
	return g
}
