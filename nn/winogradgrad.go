package nn

import "github.com/vggo/vggo/internal/kernel"

// winogradGrad is the weight gradient of a 3x3 stride-1 convolution as F(3×3,m×m): a patch of input and an m×m tile
// of the output's gradient give the 3x3 taps by (m+2)² products where the definition takes 9m². Sums over the tiles
// are taken before the last transform, which is linear:
//
//	D[p][c][o] = sum over tiles of V[p][tile][c] * Z[p][tile][o]
//
// Where D is small, the tiles are divided into a fixed number of groups. A worker takes a group chunk by chunk through
// its cache and adds to the group's own D; these are added up in the end, in order. Where D is large there is one, and
// the workers share each phase of a chunk: both transforms, then its matrix products, one plane a task. Either way the
// order of the sum is fixed.
type winogradGrad struct {
	tiling
	c                         *conv
	groups                    int // 1: shared phases
	from, to, end             int // tiles of the running chunk; those of the batch
	inputPatches, gradPatches patches

	groupJob, transformJob, multiplyJob, storeJob func(worker, task int)
}

const (
	// gradChunk is the most tiles of a chunk whose phases are shared: a panel of Z is then 16 KiB, and D is read and
	// written once for 256 products. gradGroupChunk is that of a group, whose planes share the L2 cache.
	gradChunk, gradGroupChunk = 256, 48
	// gradGroups are made where D has at most gradGroupFloats.
	gradGroups, gradGroupFloats = 8, 1 << 20
)

func newWinogradGrad(p *Plan, c *conv, tile int) *winogradGrad {
	g := &winogradGrad{tiling: tiled(p.set, &c.shape, tile, c.parts), c: c, groups: 1}
	total := p.part() * g.tiles()
	chunk := gradChunk
	if g.packedSize() <= gradGroupFloats && total >= gradGroups*gradGroupChunk {
		g.groups, chunk = gradGroups, gradGroupChunk
	}
	g.inChunks(min(chunk, total))
	g.inputPatches, g.gradPatches = g.tiling.inputPatches(), g.tiling.gradPatches()
	if c.pooled {
		g.gradPatches.maxima = c.out
	}
	p.needScratch(9 * g.inBlocks * kernel.Block * kernel.Block)
	if g.groups > 1 {
		p.needShared(g.groups * g.packedSize())
		p.needScratch(g.stripSize() + 2*g.planesSize())
	} else {
		p.needShared(g.packedSize() + 2*g.planesSize())
		p.needScratch(g.stripSize())
	}
	g.groupJob, g.transformJob, g.multiplyJob, g.storeJob = g.groupTask, g.transformTask, g.multiplyTask, g.storeTask
	return g
}

// d is the products of a group, [plane][output block][input channel][16].
func (g *winogradGrad) d(group int) []float32 {
	return g.c.engine.shared[group*g.packedSize():][:g.packedSize()]
}

func (g *winogradGrad) run(n int) {
	team := g.c.engine.team
	g.end = n * g.tiles()
	for g.part = range g.parts {
		if g.groups > 1 {
			team.run(g.groups, g.groupJob)
		} else {
			for g.from = 0; g.from < g.end; g.from = g.to {
				g.to = min(g.from+g.chunk, g.end)
				team.run(g.inBlocks+g.outBlocks, g.transformJob)
				team.run(g.Planes(), g.multiplyJob)
			}
		}
		team.run(g.outBlocks, g.storeJob)
	}
}

// groupTask sums over the tiles of one group.
func (g *winogradGrad) groupTask(worker, group int) {
	scratch := g.c.engine.scratch[worker]
	strip, v := scratch[:g.stripSize()], scratch[g.stripSize():]
	z := v[g.planesSize():]
	start, end := group*g.end/g.groups, (group+1)*g.end/g.groups
	for from := start; from < end; from += g.chunk {
		to := min(from+g.chunk, end)
		for block := range g.inBlocks {
			g.gather(&g.inputPatches, v, strip, g.c.in.data, block, from, to)
		}
		for block := range g.outBlocks {
			g.gather(&g.gradPatches, z, strip, g.c.out.grad, block, from, to)
		}
		for plane := range g.Planes() {
			g.multiply(g.d(group), v, z, plane, to-from, from > start)
		}
	}
	if start == end {
		clear(g.d(group))
	}
}

// The shared phases.

func (g *winogradGrad) v() []float32 { return g.c.engine.shared[g.packedSize():][:g.planesSize()] }
func (g *winogradGrad) z() []float32 {
	return g.c.engine.shared[g.packedSize()+g.planesSize():][:g.planesSize()]
}

// transformTask takes one block of channels of the input, or of the output's gradient.
func (g *winogradGrad) transformTask(worker, task int) {
	strip := g.c.engine.scratch[worker]
	if task < g.inBlocks {
		g.gather(&g.inputPatches, g.v(), strip, g.c.in.data, task, g.from, g.to)
	} else {
		g.gather(&g.gradPatches, g.z(), strip, g.c.out.grad, task-g.inBlocks, g.from, g.to)
	}
}

func (g *winogradGrad) multiplyTask(_, plane int) {
	g.multiply(g.d(0), g.v(), g.z(), plane, g.to-g.from, g.from > 0)
}

// multiply adds the products of a chunk's first tiles to one plane of d.
func (g *winogradGrad) multiply(d, v, z []float32, plane, tiles int, accumulate bool) {
	channels := g.inBlocks * kernel.Block
	g.set.Matmul(&kernel.Matmul{
		Bands: g.inBlocks, M: kernel.Block, Blocks: g.outBlocks,
		K: tiles, Runs: oneRun,
		A: v[plane*g.plane():], ABand: g.chunk * kernel.Block, ARow: 1, ACol: kernel.Block,
		B: z[plane*g.plane():], BRow: kernel.Block, BBlock: g.chunk * kernel.Block,
		C: d[plane*g.outBlocks*channels*kernel.Block:], CBand: kernel.Block * kernel.Block, CRow: kernel.Block,
		CBlock:     channels * kernel.Block,
		Accumulate: accumulate,
	})
}

// storeTask adds up one output block of the groups' products, transforms it and stores it in O,I,H,W order.
func (g *winogradGrad) storeTask(worker, block int) {
	channels := g.inBlocks * kernel.Block
	plane := g.outBlocks * channels * kernel.Block
	sums := g.d(0)[block*channels*kernel.Block:]
	for group := 1; group < g.groups; group++ {
		for p := range g.Planes() {
			part := g.d(group)[p*plane+block*channels*kernel.Block:][:channels*kernel.Block]
			g.set.Axpy(sums[p*plane:][:len(part)], part, 1)
		}
	}
	taps := g.c.engine.scratch[worker][:9*channels*kernel.Block]
	g.Winograd.WeightGrad(taps, sums, plane, channels)
	in, out := g.c.in.shape.C/g.parts, g.c.out.shape.C/g.parts
	for lane := range min(kernel.Block, out-block*kernel.Block) {
		filter := g.c.w.Grad[(g.part*out+block*kernel.Block+lane)*in*9:][:in*9]
		for i := range filter {
			filter[i] = taps[i*kernel.Block+lane]
		}
	}
}
