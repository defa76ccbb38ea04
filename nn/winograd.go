package nn

import "github.com/vggo/vggo/internal/kernel"

// tiling is a 3x3 stride-1 convolution as Winograd's F(m×m,3×3): tiles of m×m outputs, each from a patch of m+2 by
// m+2 inputs, by (m+2)² products where the definition takes 9m². The products of all tiles of a chunk are matrix
// products over the channels, one for each element of the transformed patch (a plane):
//
//	V[p][tile][c] = input transform,  M[p][tile][o] = sum over c of V[p][tile][c] * U[p][c][o],  output transform of M
//
// Planes are blocked like feature maps: [plane][channel/16][tile][16]. The data gradient is the same with flipped,
// transposed weights.
type tiling struct {
	inH, inW, outH, outW int
	top, left            int
	inBlocks, outBlocks  int // of one part
	tilesH, tilesW       int
	parts, part          int // of a grouped convolution, one after the other; the running one

	*kernel.Winograd
	set   *kernel.Set
	chunk int   // tiles that go through the three phases together
	runs  []int // of a tile's channels in V
}

// tiled is d's convolution, which must be 3x3 of stride 1 over blocked maps, in so many parts, in tiles of so many
// outputs along each axis.
func tiled(set *kernel.Set, d *direct, tile, parts int) tiling {
	return tiling{
		inH: d.inH, inW: d.inW, outH: d.outH, outW: d.outW, top: d.top, left: d.left, inBlocks: d.inBlocks,
		outBlocks: d.outBlocks, parts: parts,
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

// packedSize is the floats of a part's U, [plane][output block][input channel][16].
func (w *tiling) packedSize() int {
	return w.Planes() * w.outBlocks * w.inBlocks * kernel.Block * kernel.Block
}

// plane is the floats from one plane of a chunk, of inputs or of outputs, to the next: an odd number of cache lines, so
// that the planes of a tile, which a transform visits one after the other, spread over all sets of a cache.
func (w *tiling) plane() int { return (max(w.inBlocks, w.outBlocks)*w.chunk | 1) * kernel.Block }

// planesSize is the floats of a chunk's planes.
func (w *tiling) planesSize() int { return w.Planes() * w.plane() }

// stripSize is a worker's scratch for a stretch of tiles, of their inputs or of their outputs, with a row and a column
// on each side, where windows that are spread may begin and end.
func (w *tiling) stripSize() int {
	return (w.Side + 2) * (stretch*w.Tile + w.Side - w.Tile + 2) * kernel.Block
}

// stretch is the most tiles that are transformed at a time: what is copied on the way, 38 KB, stays close by.
const stretch = 12

// spans calls do for each stretch of tiles [from, to) of all images that lies in one row of tiles of one image: the
// image, the tile's row and column, and how many.
func (w *tiling) spans(from, to int, do func(n, ty, tx, at, count int)) {
	for t := from; t < to; {
		n, r := t/w.tiles(), t%w.tiles()
		ty, tx := r/w.tilesW, r%w.tilesW
		count := min(w.tilesW-tx, to-t, stretch)
		do(n, ty, tx, t-from, count)
		t += count
	}
}

// patches is how a transform cuts a feature map: squares of side pixels, the first at (-top, -left), each a tile
// further.
type patches struct {
	side, top, left int
	h, w, blocks    int // of the map
	plane           int // floats from one plane to the next
	// The map is the gradient of what 2x2 maxima were taken of, and there is theirs alone, from which it is spread; nil
	// where the map is there itself.
	maxima    *values
	transform func(dst []float32, plane int, src []float32, row, n int)
}

// inputPatches are those of the input transform.
func (w *tiling) inputPatches() patches {
	return patches{side: w.Side, top: w.top, left: w.left, h: w.inH, w: w.inW, blocks: w.inBlocks, plane: w.plane(),
		transform: w.Winograd.Input}
}

// gradPatches are the tiles of the output's gradient.
func (w *tiling) gradPatches() patches {
	return patches{side: w.Tile, h: w.outH, w: w.outW, blocks: w.outBlocks, plane: w.plane(), transform: w.Winograd.Grad}
}

// gather transforms one block of tiles [from, to) into planes. Tiles that hang over the map's edge are copied first,
// with zeros around: all that a row of tiles has at the top or bottom, else the outermost. Of a map that is spread all
// are.
func (w *tiling) gather(p *patches, planes, strip, src []float32, block, from, to int) {
	mapSize := p.h * p.w * kernel.Block
	if p.maxima != nil {
		mapSize = p.maxima.blockSize()
	}
	w.spans(from, to, func(n, ty, tx, at, count int) {
		place := ((n*w.parts+w.part)*p.blocks + block) * mapSize
		image := src[place:][:mapSize]
		y, x := ty*w.Tile-p.top, tx*w.Tile-p.left
		if p.maxima != nil {
			row, first := p.spread(w.set, strip, image, p.maxima.winners[place:][:mapSize], y, x, (count-1)*w.Tile+p.side)
			p.transform(planes[(block*w.chunk+at)*kernel.Block:], p.plane, strip[first:], row, count)
			return
		}
		whole := y >= 0 && y+p.side <= p.h
		for count > 0 {
			dst := planes[(block*w.chunk+at)*kernel.Block:]
			inside := 0 // tiles from here on that do not hang over
			if whole && x >= 0 && x+p.side <= p.w {
				inside = min(count, (p.w-p.side-x)/w.Tile+1)
			}
			tiles := inside
			switch {
			case inside > 0:
				p.transform(dst, p.plane, image[(y*p.w+x)*kernel.Block:], p.w*kernel.Block, inside)
			case whole:
				tiles = 1
			default:
				tiles = count
			}
			if inside == 0 {
				width := (tiles-1)*w.Tile + p.side
				p.cut(strip, image, y, x, width)
				p.transform(dst, p.plane, strip, width*kernel.Block, tiles)
			}
			x += tiles * w.Tile
			at += tiles
			count -= tiles
		}
	})
}

// cut copies the map from (y, x) on, as high as a patch and so wide, with zeros where that hangs over.
func (p *patches) cut(strip, image []float32, y, x, width int) {
	from, to := max(0, x), min(p.w, x+width)
	for r := range p.side {
		row := strip[r*width*kernel.Block:][:width*kernel.Block]
		if y+r < 0 || y+r >= p.h || from >= to {
			clear(row)
			continue
		}
		clear(row[:(from-x)*kernel.Block])
		copy(row[(from-x)*kernel.Block:], image[((y+r)*p.w+from)*kernel.Block:((y+r)*p.w+to)*kernel.Block])
		clear(row[(to-x)*kernel.Block:])
	}
}

// spread makes of the gradient of 2x2 maxima the map's from (y, x) on, as high as a patch and so wide, with zeros where
// that hangs over. Windows are whole, so it may begin earlier: it returns the floats of a row and where (y, x) lies.
func (p *patches) spread(set *kernel.Set, strip, maxima []float32, winners []uint8, y, x, width int) (row, first int) {
	fromY, toY := y>>1, (y+p.side+1)>>1 // of maxima
	fromX, toX := x>>1, (x+width+1)>>1
	row = 2 * (toX - fromX) * kernel.Block
	inX, outX := min(max(fromX, 0), p.w/2), max(min(toX, p.w/2), 0)
	for my := fromY; my < toY; my++ {
		two := strip[(my-fromY)*2*row:][:2*row]
		if my < 0 || my >= p.h/2 || inX >= outX {
			clear(two)
			continue
		}
		before, after := 2*(inX-fromX)*kernel.Block, 2*(outX-fromX)*kernel.Block
		for _, line := range [][]float32{two[:row], two[row:]} {
			clear(line[:before])
			clear(line[after:])
		}
		from, to := (my*(p.w/2)+inX)*kernel.Block, (my*(p.w/2)+outX)*kernel.Block
		set.Unpool(two[before:], row, maxima[from:to], winners[from:to])
	}
	return row, ((y-2*fromY)*(row/kernel.Block) + x - 2*fromX) * kernel.Block
}

// multiply computes M of a chunk's first tiles for one plane of U.
func (s *winogradPass) multiply(m, v []float32, plane, tiles int) {
	w, channels := &s.tiling, s.inBlocks*kernel.Block
	size := w.outBlocks * channels * kernel.Block // of a plane of U
	product := kernel.Matmul{
		Bands: 1, M: tiles, Blocks: w.outBlocks,
		K: kernel.Block, Runs: w.runs,
		A: v[plane*w.plane():], ARow: kernel.Block, ACol: 1,
		BRow: kernel.Block, BBlock: channels * kernel.Block,
		C: m[plane*w.plane():], CRow: kernel.Block, CBlock: w.chunk * kernel.Block,
	}
	u := w.part * w.packedSize()
	s.packed.operand(&product, u+plane*size, u+(plane+1)*size, u+w.packedSize())
	w.set.Matmul(&product)
}

// winogradPass runs a tiling over a batch, with what follows the convolution fused into the output transform.
type winogradPass struct {
	tiling
	engine *engine
	packed *packed
	bias   []float32 // padded to blocks
	relu   bool
	pools  []*kernel.Pool // by pooled pixels of a row; nil: no pooling
	maxima *values        // what the pools make; it may have winners

	// The phases of a chunk run one after the other in one worker, in its cache. Where there are few tiles they are one
	// chunk, whose phases the workers share, so that each plane of U is read once, whoever multiplies by it, and the tasks
	// are small enough to keep fast cores from waiting for slow ones.
	shared   bool
	total    int // tiles of the running step
	whole    int // tasks of it that are whole chunks
	src, dst []float32
	patches  patches

	chunkJob, inputJob, multiplyJob, outputJob func(worker, task int)
}

// A chunk has at least 24 tiles, so that a panel of U serves two tiles of the matrix kernel each time it comes from the
// L3 cache or from memory, and up to 48 while its planes take no more than 800 KiB of the L2 cache. Measured in
// docs/kernels.md.
const (
	smallChunk, largeChunk = 24, 48
	tilesFloats            = 200 << 10
)

// chunks divides the tiles of a batch: how many to a chunk, and whether the workers share its phases.
func (w *tiling) chunks(images int) (chunk int, shared bool) {
	total := images * w.tiles()
	if total <= 8*smallChunk { // few chunks: the last would keep one core busy and the others waiting
		return total, true
	}
	most := tilesFloats / (w.Planes() * max(w.inBlocks, w.outBlocks) * kernel.Block)
	most = min(max(most, smallChunk), largeChunk)
	rounds := (total + most - 1) / most
	if rounds < 32 {
		rounds = (rounds + 2) / 4 * 4 // as many for each of two or four threads
	}
	return (total + rounds - 1) / rounds, false
}

// newWinogradPass makes d's convolution by tiles of so many outputs for a step of up to images images.
func newWinogradPass(p *Plan, d *direct, tile, parts, images int, bias []float32) *winogradPass {
	s := &winogradPass{tiling: tiled(p.set, d, tile, parts), engine: &p.engine, bias: bias}
	chunk, shared := s.chunks(images)
	s.inChunks(chunk)
	s.shared, s.patches = shared, s.inputPatches()
	if shared {
		p.needShared(2 * s.planesSize())
		p.needScratch(s.stripSize())
		s.inputJob, s.multiplyJob, s.outputJob = s.inputTask, s.multiplyTask, s.outputTask
	} else {
		p.needScratch(s.stripSize() + s.planesSize() + s.plane())
		s.chunkJob = s.chunkTask
	}
	return s
}

// fusePool makes the pass store the maxima of 2x2 windows of the output, odd last rows and columns left out. A tile has
// an even side, so a window lies within one.
func (s *winogradPass) fusePool(maxima *values) {
	s.maxima = maxima
	row := stretch * s.Tile * kernel.Block
	for n := range stretch*s.Tile/2 + 1 {
		s.pools = append(s.pools, kernel.NewPool(n, 2*kernel.Block, []int{0, kernel.Block, row, row + kernel.Block}))
	}
}

func (s *winogradPass) weights() *packed { return s.packed }

// piece is the input channels whose weights are transformed at a time, on the way to float16.
const piece = 32

func (s *winogradPass) pack(f *filters) (beyond float32) {
	channels := s.inBlocks * kernel.Block
	beyonds := make([]float32, s.parts*s.outBlocks)
	s.engine.team.run(s.parts*s.outBlocks, func(worker, task int) {
		part, block := task/s.outBlocks, task%s.outBlocks
		taps := s.engine.scratch[worker][:9*channels*kernel.Block]
		f.gather(taps, channels, part, block)
		at, plane := part*s.packedSize()+block*channels*kernel.Block, s.outBlocks*channels*kernel.Block
		if s.packed.half == nil {
			s.Winograd.Weight(s.packed.data[at:], plane, taps, channels)
			return
		}
		wide := s.engine.scratch[worker][len(taps):][:s.Planes()*piece*kernel.Block]
		for c := 0; c < channels; c += piece {
			n := min(piece, channels-c)
			s.Winograd.Weight(wide, piece*kernel.Block, taps[c*9*kernel.Block:], n)
			for p := range s.Planes() {
				from := wide[p*piece*kernel.Block:][:n*kernel.Block]
				to := s.packed.half[at+p*plane+c*kernel.Block:][:len(from)]
				if i := s.set.Narrow(to, from); i >= 0 {
					beyonds[task] = from[i]
				}
			}
		}
	})
	return firstOf(beyonds)
}

// run convolves n images from src to dst.
func (s *winogradPass) run(n int, src, dst []float32) {
	s.total, s.src, s.dst = n*s.tiles(), src, dst
	s.whole = max(0, (s.total+s.chunk-1)/s.chunk-2)
	for s.part = range s.parts {
		if !s.shared {
			s.engine.team.run(s.whole+(s.total-s.whole*s.chunk+s.third()-1)/s.third(), s.chunkJob)
			continue
		}
		s.engine.team.run(s.inBlocks, s.inputJob)
		s.engine.team.run(s.Planes(), s.multiplyJob)
		s.engine.team.run(s.outBlocks, s.outputJob)
	}
}

// third is the tiles of a step's last tasks, which its last two chunks are divided into: when they are out, nobody
// waits long for the slowest core.
func (s *winogradPass) third() int { return (s.chunk + 2) / 3 }

func (s *winogradPass) chunkTask(worker, task int) {
	from, size := task*s.chunk, s.chunk
	if task >= s.whole {
		from, size = s.whole*s.chunk+(task-s.whole)*s.third(), s.third()
	}
	to := min(from+size, s.total)
	scratch := s.engine.scratch[worker]
	strip, planes := scratch[:s.stripSize()], scratch[s.stripSize():]
	// M follows V through the same planes, one behind: a product overwrites what the one before it has read.
	m, v := planes, planes[s.plane():]
	for block := range s.inBlocks {
		s.gather(&s.patches, v, strip, s.src, block, from, to)
	}
	for plane := range s.Planes() {
		s.multiply(m, v, plane, to-from)
	}
	for block := range s.outBlocks {
		s.transformOutput(m, strip, block, from, to)
	}
}

// The shared phases.

func (s *winogradPass) v() []float32 { return s.engine.shared[:s.planesSize()] }
func (s *winogradPass) m() []float32 { return s.engine.shared[s.planesSize():][:s.planesSize()] }

func (s *winogradPass) inputTask(worker, block int) {
	s.gather(&s.patches, s.v(), s.engine.scratch[worker], s.src, block, 0, s.total)
}

func (s *winogradPass) multiplyTask(_, plane int) {
	s.multiply(s.m(), s.v(), plane, s.total)
}

func (s *winogradPass) outputTask(worker, block int) {
	s.transformOutput(s.m(), s.engine.scratch[worker], block, 0, s.total)
}

// transformOutput stores one output block of tiles [from, to). Tiles that hang over the map's edge, or are pooled, go
// by way of strip.
func (s *winogradPass) transformOutput(m, strip []float32, block, from, to int) {
	bias := (*[kernel.Block]float32)(s.bias[(s.part*s.outBlocks+block)*kernel.Block:])
	h, w := s.outH, s.outW
	if s.pools != nil {
		h, w = h/2, w/2
	}
	s.spans(from, to, func(n, ty, tx, at, count int) {
		src := m[(block*s.chunk+at)*kernel.Block:]
		place := ((n*s.parts+s.part)*s.outBlocks + block) * h * w * kernel.Block
		image := s.dst[place:][:h*w*kernel.Block]
		y, x := ty*s.Tile, tx*s.Tile
		rows, cols := min(s.Tile, s.outH-y), min(count*s.Tile, s.outW-x)
		if s.pools != nil {
			row := stretch * s.Tile * kernel.Block
			s.Winograd.Output(strip, row, src, s.plane(), count, bias, s.relu)
			for r := range rows / 2 {
				if cols < 2 {
					continue
				}
				from, to := ((y/2+r)*w+x/2)*kernel.Block, ((y/2+r)*w+(x+cols)/2)*kernel.Block
				s.set.MaxPool(s.pools[cols/2], image[from:], strip[2*r*row:])
				if s.maxima.winners != nil {
					s.set.Winners(s.maxima.winners[place+from:place+to], image[from:to], strip[2*r*row:], row)
				}
			}
			return
		}
		inside := cols / s.Tile // tiles that do not hang over
		if rows < s.Tile {
			inside = 0
		}
		if inside > 0 {
			s.Winograd.Output(image[(y*w+x)*kernel.Block:], w*kernel.Block, src, s.plane(), inside, bias, s.relu)
		}
		if over := count - inside; over > 0 {
			row := over * s.Tile * kernel.Block
			s.Winograd.Output(strip, row, src[inside*kernel.Block:], s.plane(), over, bias, s.relu)
			for r := range rows {
				copy(image[((y+r)*w+x+inside*s.Tile)*kernel.Block:], strip[r*row:][:(cols-inside*s.Tile)*kernel.Block])
			}
		}
	})
}
