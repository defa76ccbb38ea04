package nn

import "github.com/vggo/vggo/internal/kernel"

// tiling is a 3x3 stride-1 convolution as Winograd's F(m×m,3×3): tiles of m×m outputs, each from a patch of m+2 by m+2 inputs,
// by (m+2)² products where the definition takes 9m². The products of all tiles of a chunk are matrix products over the
// channels, one for each element of the transformed patch (a plane):
//
//	V[p][tile][c] = input transform,  M[p][tile][o] = sum over c of V[p][tile][c] * U[p][c][o],  output transform of M
//
// Planes are blocked like feature maps: [plane][channel/16][tile][16]. The data gradient is the same with flipped,
// transposed weights.
type tiling struct {
	inH, inW, outH, outW int
	top, left            int
	inBlocks, outBlocks  int
	tilesH, tilesW       int

	*kernel.Winograd
	set   *kernel.Set
	chunk int   // tiles that go through the three phases together
	runs  []int // of a tile's channels in V
}

// tiled is d's convolution, which must be 3x3 of stride 1 over blocked maps, in tiles of so many outputs along each axis.
func tiled(set *kernel.Set, d *direct, tile int) tiling {
	return tiling{
		inH: d.inH, inW: d.inW, outH: d.outH, outW: d.outW, top: d.top, left: d.left, inBlocks: d.inBlocks, outBlocks: d.outBlocks,
		tilesH: (d.outH + tile - 1) / tile, tilesW: (d.outW + tile - 1) / tile, Winograd: set.Winograd(tile), set: set,
	}
}

// inChunks says how many tiles a chunk has.
func (w *tiling) inChunks(chunk int) {
	w.chunk = chunk
	for b := range w.inBlocks {
		w.runs = append(w.runs, b*chunk*kernel.Block)
	}
}

// tiles of one image.
func (w *tiling) tiles() int { return w.tilesH * w.tilesW }

// packedSize is the floats of U, [plane][output block][input channel][16].
func (w *tiling) packedSize() int {
	return w.Planes() * w.outBlocks * w.inBlocks * kernel.Block * kernel.Block
}

// planeSize is the floats from one plane of a chunk to the next: an odd number of cache lines, so that the planes of a tile,
// which a transform visits one after the other, spread over all sets of a cache.
func (w *tiling) planeSize(blocks int) int { return (blocks*w.chunk | 1) * kernel.Block }

func (w *tiling) vPlane() int { return w.planeSize(w.inBlocks) }
func (w *tiling) mPlane() int { return w.planeSize(w.outBlocks) }

// vSize and mSize are the floats of a chunk's planes.
func (w *tiling) vSize() int { return w.Planes() * w.vPlane() }
func (w *tiling) mSize() int { return w.Planes() * w.mPlane() }

// patchSize is a worker's scratch for a tile that hangs over the edge.
func (w *tiling) patchSize() int { return w.Planes() * kernel.Block }

// spans calls do for each stretch of tiles [from, to) of all images that lies in one row of tiles of one image: the image, the
// tile's row and column, and how many.
func (w *tiling) spans(from, to int, do func(n, ty, tx, at, count int)) {
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
	plane           int // floats from one plane to the next
	transform       func(dst []float32, plane int, src []float32, row, n int)
}

// inputPatches are those of the input transform.
func (w *tiling) inputPatches() patches {
	return patches{w.Side, w.top, w.left, w.inH, w.inW, w.inBlocks, w.vPlane(), w.Winograd.Input}
}

// gradPatches are the tiles of the output's gradient.
func (w *tiling) gradPatches() patches {
	return patches{w.Tile, 0, 0, w.outH, w.outW, w.outBlocks, w.mPlane(), w.Winograd.Grad}
}

// gather transforms one block of tiles [from, to) into planes. A patch that hangs over the map's edge is copied first.
func (w *tiling) gather(p *patches, planes, patch, src []float32, block, from, to int) {
	mapSize := p.h * p.w * kernel.Block
	w.spans(from, to, func(n, ty, tx, at, count int) {
		image := src[(n*p.blocks+block)*mapSize:][:mapSize]
		dst := planes[(block*w.chunk+at)*kernel.Block:]
		y := ty*w.Tile - p.top
		for i := 0; i < count; {
			x := (tx+i)*w.Tile - p.left
			if y < 0 || y+p.side > p.h || x < 0 || x+p.side > p.w {
				p.cut(patch, image, y, x)
				p.transform(dst[i*kernel.Block:], p.plane, patch, p.side*kernel.Block, 1)
				i++
				continue
			}
			inside := min(count-i, (p.w-p.side-x)/w.Tile+1)
			p.transform(dst[i*kernel.Block:], p.plane, image[(y*p.w+x)*kernel.Block:], p.w*kernel.Block, inside)
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

// multiply computes M of a chunk's first tiles for one plane of U.
func (w *tiling) multiply(m, v, packed []float32, plane, tiles int) {
	channels := w.inBlocks * kernel.Block
	size := w.outBlocks * channels * kernel.Block // of a plane of U
	w.set.Matmul(&kernel.Matmul{
		Bands: 1, M: tiles, Blocks: w.outBlocks,
		K: kernel.Block, Runs: w.runs,
		A: v[plane*w.vPlane():], ARow: kernel.Block, ACol: 1,
		B: packed[plane*size : (plane+1)*size], BRow: kernel.Block, BBlock: channels * kernel.Block,
		C: m[plane*w.mPlane():], CRow: kernel.Block, CBlock: w.chunk * kernel.Block,
		Next: packed[(plane+1)*size:],
	})
}

// winogradPass runs a tiling over a batch, with what follows the convolution fused into the output transform.
type winogradPass struct {
	tiling
	plan   *Plan
	packed *packed
	bias   []float32 // padded to blocks
	relu   bool
	pools  []*kernel.Pool // by pooled pixels of a row; nil: no pooling

	// The phases of a chunk either run one after the other in one worker, in its cache, or are shared among the workers, so
	// that each plane of U is read once a chunk, whoever multiplies by it.
	shared   bool
	n        int
	from, to int // tiles of the running chunk
	src, dst []float32
	patches  patches

	chunkJob, inputJob, multiplyJob, outputJob func(worker, task int)
}

// A chunk's planes should stay in a worker's L2 cache. Where not even smallChunk tiles do, U is large too, and the chunk may as
// well be large. Measured in docs/kernels.md.
const (
	chunkFloats2         = 160 << 10 // 640 KiB
	smallChunk, midChunk = 24, 48
	sharedWeights        = 4 << 20 // floats of U from which on the workers share the phases
	sharedChunk          = 224
)

// chunks divides the tiles of a batch: how many to a chunk, and whether the workers share its phases.
func (w *tiling) chunks(batch int) (chunk int, shared bool) {
	total := batch * w.tiles()
	most := chunkFloats2 / (w.Planes() * (w.inBlocks + w.outBlocks) * kernel.Block)
	switch {
	case w.packedSize() >= sharedWeights || total < 4*smallChunk:
		shared, most = true, sharedChunk
	case most < smallChunk:
		most = midChunk
	}
	most = min(max(most, smallChunk), 2*midChunk*2)
	rounds := (total + most - 1) / most
	return (total + rounds - 1) / rounds, shared // of equal size
}

// newWinogradPass makes d's convolution by tiles of so many outputs for a step of up to images images.
func newWinogradPass(p *Plan, d *direct, tile, images int, bias []float32) *winogradPass {
	s := &winogradPass{tiling: tiled(p.Set, d, tile), plan: p, bias: bias}
	chunk, shared := s.chunks(images)
	s.inChunks(chunk)
	s.shared, s.patches = shared, s.inputPatches()
	scratch := s.patchSize()
	if shared {
		p.needShared(s.vSize() + s.mSize())
		s.inputJob, s.multiplyJob, s.outputJob = s.inputTask, s.multiplyTask, s.outputTask
	} else {
		scratch += s.vSize() + s.mSize()
		s.chunkJob = s.chunkTask
	}
	p.needScratch(scratch)
	return s
}

// fusePool makes the pass store the maxima of 2x2 windows of the output, odd last rows and columns left out. A tile has an
// even side, so a window lies within one.
func (s *winogradPass) fusePool() {
	row := s.stripRow()
	for n := range s.outW/2 + 1 {
		s.pools = append(s.pools, kernel.NewPool(n, 2*kernel.Block, []int{0, kernel.Block, row, row + kernel.Block}))
	}
	s.plan.needScratch(s.stripSize() + s.vSize() + s.mSize())
}

// strip is the output of a row of tiles before it is pooled.
func (s *winogradPass) stripRow() int  { return s.tilesW * s.Tile * kernel.Block }
func (s *winogradPass) stripSize() int { return max(s.Tile*s.stripRow(), s.patchSize()) }

// patchOrStrip is the floats of a worker's scratch that the transforms use.
func (s *winogradPass) patchOrStrip() int {
	if s.pools != nil {
		return s.stripSize()
	}
	return s.patchSize()
}

func (s *winogradPass) weights() *packed { return s.packed }

func (s *winogradPass) pack(f *filters) {
	channels := s.inBlocks * kernel.Block
	s.plan.team.run(s.outBlocks, func(worker, block int) {
		taps := s.plan.scratch[worker][:9*channels*kernel.Block]
		f.gather(taps, channels, 0, block)
		s.Winograd.Weight(s.packed.data[block*channels*kernel.Block:], s.outBlocks*channels*kernel.Block, taps, channels)
	})
}

// run convolves n images from src to dst.
func (s *winogradPass) run(n int, src, dst []float32) {
	s.n, s.src, s.dst = n, src, dst
	total := n * s.tiles()
	if !s.shared {
		s.plan.team.run((total+s.chunk-1)/s.chunk, s.chunkJob)
		return
	}
	for s.from = 0; s.from < total; s.from = s.to {
		s.to = min(s.from+s.chunk, total)
		s.plan.team.run(s.inBlocks, s.inputJob)
		s.plan.team.run(s.Planes(), s.multiplyJob)
		s.plan.team.run(s.outBlocks, s.outputJob)
	}
}

func (s *winogradPass) chunkTask(worker, task int) {
	from := task * s.chunk
	to := min(from+s.chunk, s.n*s.tiles())
	scratch := s.plan.scratch[worker]
	patch, scratch := scratch[:s.patchOrStrip()], scratch[s.patchOrStrip():]
	v, m := scratch[:s.vSize()], scratch[s.vSize():][:s.mSize()]
	for block := range s.inBlocks {
		s.gather(&s.patches, v, patch, s.src, block, from, to)
	}
	for plane := range s.Planes() {
		s.multiply(m, v, s.packed.data, plane, to-from)
	}
	for block := range s.outBlocks {
		s.transformOutput(m, patch, block, from, to)
	}
}

// The shared phases.

func (s *winogradPass) v() []float32 { return s.plan.shared[:s.vSize()] }
func (s *winogradPass) m() []float32 { return s.plan.shared[s.vSize():][:s.mSize()] }

func (s *winogradPass) inputTask(worker, block int) {
	s.gather(&s.patches, s.v(), s.plan.scratch[worker], s.src, block, s.from, s.to)
}

func (s *winogradPass) multiplyTask(_, plane int) {
	s.multiply(s.m(), s.v(), s.packed.data, plane, s.to-s.from)
}

func (s *winogradPass) outputTask(worker, block int) {
	s.transformOutput(s.m(), s.plan.scratch[worker], block, s.from, s.to)
}

// transformOutput stores one output block of tiles [from, to).
func (s *winogradPass) transformOutput(m, scratch []float32, block, from, to int) {
	bias := (*[kernel.Block]float32)(s.bias[block*kernel.Block:])
	s.spans(from, to, func(n, ty, tx, at, count int) {
		src := m[(block*s.chunk+at)*kernel.Block:]
		y, x := ty*s.Tile, tx*s.Tile
		rows, cols := min(s.Tile, s.outH-y), min(count*s.Tile, s.outW-x)
		if s.pools == nil {
			size := s.outH * s.outW * kernel.Block
			image := s.dst[(n*s.outBlocks+block)*size:][:size]
			s.storeTiles(image[(y*s.outW+x)*kernel.Block:], scratch, src, bias, rows, cols)
			return
		}
		h, w := s.outH/2, s.outW/2
		image := s.dst[(n*s.outBlocks+block)*h*w*kernel.Block:][:h*w*kernel.Block]
		s.Winograd.Output(scratch, s.stripRow(), src, s.mPlane(), count, bias, s.relu)
		for r := range rows / 2 {
			if cols >= 2 {
				s.set.MaxPool(s.pools[cols/2], image[((y/2+r)*w+x/2)*kernel.Block:], scratch[2*r*s.stripRow():])
			}
		}
	})
}

// storeTiles transforms tiles to dst, where they fill so many rows and columns. A tile that hangs over goes by way of patch.
func (s *winogradPass) storeTiles(dst, patch, src []float32, bias *[kernel.Block]float32, rows, cols int) {
	row := s.outW * kernel.Block
	whole := cols / s.Tile
	if rows < s.Tile {
		whole = 0
	}
	if whole > 0 {
		s.Winograd.Output(dst, row, src, s.mPlane(), whole, bias, s.relu)
	}
	for i := whole; i*s.Tile < cols; i++ {
		s.Winograd.Output(patch, s.Tile*kernel.Block, src[i*kernel.Block:], s.mPlane(), 1, bias, s.relu)
		for r := range rows {
			from := patch[r*s.Tile*kernel.Block:][:min(s.Tile, cols-i*s.Tile)*kernel.Block]
			copy(dst[r*row+i*s.Tile*kernel.Block:], from)
		}
	}
}
