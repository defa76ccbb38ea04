package nn

import "github.com/vggo/vggo/internal/kernel"

// winograd is a 3x3 stride-1 convolution as F(4x4,3x3) (Lavin & Gray 2015): tiles of 4x4 outputs, each from a 6x6 patch of
// input, by 36 products where the definition takes 144. The products of all tiles of a chunk are 36 matrix products over the
// channels, one for each element of the transformed tile (a plane):
//
//	V[p][tile][c] = input transform,  M[p][tile][o] = sum over c of V[p][tile][c] * U[p][c][o],  output transform of M
//
// Planes are blocked like feature maps: [plane][channel/16][tile][16]. The data gradient is the same with flipped,
// transposed weights.
type winograd struct {
	inH, inW, outH, outW int
	top, left            int
	inBlocks, outBlocks  int
	tilesH, tilesW       int

	packed []float32 // U: [plane][output block][input channel][16]
	runs   []int     // of a tile's channels in V

	// A chunk of tiles goes through all three phases in one worker's cache. A network at batch 1 ends in so few tiles that
	// every chunk would stream all of U for little work: there the phases are shared among the workers (chunk is then all
	// tiles), and each plane of U is read once.
	chunk  int
	shared bool
}

const (
	winogradTile = 4 // outputs of a tile along each axis
	patchSide    = winogradTile + 2
	// A chunk is 24 tiles where their planes then fit into 512 KiB of L2 cache, else 48: a panel of U serves more tiles each
	// time it comes from the L3 cache. Measured in docs/kernels.md.
	smallChunk, largeChunk = 24, 48
	smallChunkFloats       = 128 << 10
)

// winogradOf is d's convolution, which must be 3x3 of stride 1 over blocked maps.
func winogradOf(d *direct) winograd {
	return winograd{
		inH: d.inH, inW: d.inW, outH: d.outH, outW: d.outW, top: d.top, left: d.left, inBlocks: d.inBlocks, outBlocks: d.outBlocks,
		tilesH: (d.outH + winogradTile - 1) / winogradTile, tilesW: (d.outW + winogradTile - 1) / winogradTile,
	}
}

// prepare divides the tiles of a batch into chunks.
func (w *winograd) prepare(batch, threads int) {
	total := batch * w.tiles()
	w.shared = total <= 2*largeChunk*threads
	w.chunk = total
	if !w.shared {
		most := largeChunk
		if kernel.WinogradPlanes*smallChunk*(w.inBlocks+w.outBlocks)*kernel.Block <= smallChunkFloats {
			most = smallChunk
		}
		// The same number of tiles for every worker and chunk, as nearly as can be.
		rounds := (total + most*threads - 1) / (most * threads)
		w.chunk = (total + rounds*threads - 1) / (rounds * threads)
	}
	for b := range w.inBlocks {
		w.runs = append(w.runs, b*w.chunk*kernel.Block)
	}
}

// tiles of one image.
func (w *winograd) tiles() int { return w.tilesH * w.tilesW }

func (w *winograd) packedSize() int {
	return kernel.WinogradPlanes * w.outBlocks * w.inBlocks * kernel.Block * kernel.Block
}

// vSize and mSize are the floats of a chunk's planes.
func (w *winograd) vSize() int {
	return kernel.WinogradPlanes * w.inBlocks * w.chunk * kernel.Block
}
func (w *winograd) mSize() int {
	return kernel.WinogradPlanes * w.outBlocks * w.chunk * kernel.Block
}

// patchFloats is a worker's scratch for tiles that hang over the edge.
const patchFloats = patchSide * patchSide * kernel.Block

// pack transforms the weights of one output block. taps is scratch of [input channel][9][16]; weight gives the value for an
// output channel, an input channel and a tap, 0 for channels beyond the last.
func (w *winograd) pack(set *kernel.Set, taps []float32, outBlock int, weight func(out, in, kh, kw int) float32) {
	channels := w.inBlocks * kernel.Block
	i := 0
	for c := range channels {
		for kh := range 3 {
			for kw := range 3 {
				for lane := range kernel.Block {
					taps[i] = weight(outBlock*kernel.Block+lane, c, kh, kw)
					i++
				}
			}
		}
	}
	set.WinogradWeight(w.packed[outBlock*channels*kernel.Block:], w.outBlocks*channels*kernel.Block, taps, channels)
}

// spans calls do for each stretch of tiles [from, to) of all images that lies in one row of tiles of one image: the image, the
// tile's row and column, and how many.
func (w *winograd) spans(from, to int, do func(n, ty, tx, at, count int)) {
	for t := from; t < to; {
		n, r := t/w.tiles(), t%w.tiles()
		ty, tx := r/w.tilesW, r%w.tilesW
		count := min(w.tilesW-tx, to-t)
		do(n, ty, tx, t-from, count)
		t += count
	}
}

// patches is how a transform cuts a feature map: squares of side pixels, the first at (-top, -left), each a tile further.
type patches struct {
	side, top, left int
	h, w, blocks    int // of the map
	transform       func(dst []float32, plane int, src []float32, row, n int)
}

// transformInput fills V for one input block of tiles [from, to).
func (w *winograd) transformInput(set *kernel.Set, v, patch, src []float32, block, from, to int) {
	w.gather(patches{patchSide, w.top, w.left, w.inH, w.inW, w.inBlocks, set.WinogradInput}, v, patch, src, block, from, to)
}

// gather transforms one block of tiles [from, to) into planes. A patch that hangs over the map's edge is copied first.
func (w *winograd) gather(p patches, planes, patch, src []float32, block, from, to int) {
	plane := p.blocks * w.chunk * kernel.Block
	mapSize := p.h * p.w * kernel.Block
	w.spans(from, to, func(n, ty, tx, at, count int) {
		image := src[(n*p.blocks+block)*mapSize:][:mapSize]
		dst := planes[(block*w.chunk+at)*kernel.Block:]
		y := ty*winogradTile - p.top
		for i := 0; i < count; {
			x := (tx+i)*winogradTile - p.left
			if y < 0 || y+p.side > p.h || x < 0 || x+p.side > p.w {
				p.cut(patch, image, y, x)
				p.transform(dst[i*kernel.Block:], plane, patch, p.side*kernel.Block, 1)
				i++
				continue
			}
			inside := min(count-i, (p.w-p.side-x)/winogradTile+1)
			p.transform(dst[i*kernel.Block:], plane, image[(y*p.w+x)*kernel.Block:], p.w*kernel.Block, inside)
			i += inside
		}
	})
}

// cut copies the patch at (y, x), zero where it hangs over.
func (p *patches) cut(patch, image []float32, y, x int) {
	clear(patch[:p.side*p.side*kernel.Block])
	from, to := max(0, x), min(p.w, x+p.side)
	for r := range p.side {
		if y+r >= 0 && y+r < p.h && from < to {
			copy(patch[(r*p.side+from-x)*kernel.Block:], image[((y+r)*p.w+from)*kernel.Block:((y+r)*p.w+to)*kernel.Block])
		}
	}
}

// multiply computes M of a chunk's first tiles for one plane.
func (w *winograd) multiply(set *kernel.Set, m, v []float32, plane, tiles int) {
	channels := w.inBlocks * kernel.Block
	set.Matmul(&kernel.Matmul{
		Bands: 1, M: tiles, Blocks: w.outBlocks,
		K: kernel.Block, Runs: w.runs,
		A: v[plane*w.inBlocks*w.chunk*kernel.Block:], ARow: kernel.Block, ACol: 1,
		B: w.packed[plane*w.outBlocks*channels*kernel.Block:], BRow: kernel.Block, BBlock: channels * kernel.Block,
		C: m[plane*w.outBlocks*w.chunk*kernel.Block:], CRow: kernel.Block, CBlock: w.chunk * kernel.Block,
	})
}

// transformOutput stores one output block of tiles [from, to).
func (w *winograd) transformOutput(set *kernel.Set, dst, patch, m []float32, bias *[kernel.Block]float32, block, from, to int, relu bool) {
	plane := w.outBlocks * w.chunk * kernel.Block
	mapSize := w.outH * w.outW * kernel.Block
	w.spans(from, to, func(n, ty, tx, at, count int) {
		image := dst[(n*w.outBlocks+block)*mapSize:][:mapSize]
		src := m[(block*w.chunk+at)*kernel.Block:]
		y, rows := ty*winogradTile, min(winogradTile, w.outH-ty*winogradTile)
		for i := 0; i < count; {
			x := (tx + i) * winogradTile
			if inside := min(count-i, (w.outW-x)/winogradTile); inside > 0 && rows == winogradTile {
				set.WinogradOutput(image[(y*w.outW+x)*kernel.Block:], w.outW*kernel.Block, src[i*kernel.Block:], plane, inside, bias, relu)
				i += inside
				continue
			}
			set.WinogradOutput(patch, winogradTile*kernel.Block, src[i*kernel.Block:], plane, 1, bias, relu)
			cols := min(winogradTile, w.outW-x)
			for r := range rows {
				copy(image[((y+r)*w.outW+x)*kernel.Block:], patch[r*winogradTile*kernel.Block:][:cols*kernel.Block])
			}
			i++
		}
	})
}

// winogradPass runs a winograd over a batch for one layer.
type winogradPass struct {
	winograd
	plan *Plan
	bias []float32 // padded to blocks
	relu bool

	n        int
	src, dst []float32

	chunkJob, inputJob, multiplyJob, outputJob func(worker, task int)
}

func newWinogradPass(p *Plan, w winograd, bias []float32) *winogradPass {
	w.prepare(p.Batch, p.Threads)
	w.packed = p.pack(w.packedSize())
	s := &winogradPass{winograd: w, plan: p, bias: bias}
	p.needScratch(max(9*w.inBlocks*kernel.Block*kernel.Block, patchFloats)) // pack's taps
	if w.shared {
		p.needShared(w.vSize() + w.mSize())
		s.inputJob, s.multiplyJob, s.outputJob = s.inputTask, s.multiplyTask, s.outputTask
	} else {
		p.needScratch(patchFloats + w.vSize() + w.mSize())
		s.chunkJob = s.chunkTask
	}
	return s
}

func (s *winogradPass) refresh(weight func(out, in, kh, kw int) float32) {
	s.plan.team.run(s.outBlocks, func(worker, block int) {
		s.pack(s.plan.Set, s.plan.scratch[worker][:9*s.inBlocks*kernel.Block*kernel.Block], block, weight)
	})
}

// run convolves n images from src to dst.
func (s *winogradPass) run(n int, src, dst []float32) {
	s.n, s.src, s.dst = n, src, dst
	if !s.shared {
		s.plan.team.run((n*s.tiles()+s.chunk-1)/s.chunk, s.chunkJob)
		return
	}
	s.plan.team.run(s.inBlocks, s.inputJob)
	s.plan.team.run(kernel.WinogradPlanes, s.multiplyJob)
	s.plan.team.run(s.outBlocks, s.outputJob)
}

func (s *winogradPass) blockBias(block int) *[kernel.Block]float32 {
	return (*[kernel.Block]float32)(s.bias[block*kernel.Block:])
}

func (s *winogradPass) chunkTask(worker, task int) {
	from := task * s.chunk
	to := min(from+s.chunk, s.n*s.tiles())
	scratch := s.plan.scratch[worker]
	patch, v, m := scratch[:patchFloats], scratch[patchFloats:][:s.vSize()], scratch[patchFloats+s.vSize():][:s.mSize()]
	for block := range s.inBlocks {
		s.transformInput(s.plan.Set, v, patch, s.src, block, from, to)
	}
	for plane := range kernel.WinogradPlanes {
		s.multiply(s.plan.Set, m, v, plane, to-from)
	}
	for block := range s.outBlocks {
		s.transformOutput(s.plan.Set, s.dst, patch, m, s.blockBias(block), block, from, to, s.relu)
	}
}

// The shared phases.

func (s *winogradPass) v() []float32 { return s.plan.shared[:s.vSize()] }
func (s *winogradPass) m() []float32 { return s.plan.shared[s.vSize():][:s.mSize()] }

func (s *winogradPass) inputTask(worker, block int) {
	s.transformInput(s.plan.Set, s.v(), s.plan.scratch[worker], s.src, block, 0, s.n*s.tiles())
}

func (s *winogradPass) multiplyTask(_, plane int) {
	s.multiply(s.plan.Set, s.m(), s.v(), plane, s.n*s.tiles())
}

func (s *winogradPass) outputTask(worker, block int) {
	s.transformOutput(s.plan.Set, s.dst, s.plan.scratch[worker], s.m(), s.blockBias(block), block, 0, s.n*s.tiles(), s.relu)
}

// winogradPays estimates, in multiply-accumulates, whether F(4x4,3x3) is cheaper than the definition for batch images. Beyond
// the products it pays for transforms, 36 planes of every tile in and out, and for reading U, four times the weights, once a
// step. The prices are measured: see docs/kernels.md.
func winogradPays(w *winograd, batch int) bool {
	const transform = 40 // multiply-accumulates in the time to transform one value of one plane
	const stream = 10    // in the time to read one value of U from memory
	in, out := float64(w.inBlocks*kernel.Block), float64(w.outBlocks*kernel.Block)
	n := float64(batch)
	tiles := n * float64(w.tiles())
	fast := kernel.WinogradPlanes * (tiles*in*out + tiles*(in+out)*transform + in*out*stream)
	plain := 9 * (n*float64(w.outH*w.outW)*in*out + in*out*stream)
	return fast < plain
}
