package nn

import "github.com/vggo/vggo/internal/kernel"

// winogradGrad is the weight gradient of a 3x3 stride-1 convolution as F(3×3,m×m): a patch of input and an m×m tile of the
// output's gradient give the 3x3 taps by (m+2)² products where the definition takes 9m². Sums over the tiles are taken before
// the last transform, which is linear:
//
//	D[p][c][o] = sum over tiles of V[p][tile][c] * Z[p][tile][o]
//
// The workers share each phase: both transforms of a chunk, then its matrix products, one plane a task, added to D chunk after
// chunk, so the order of the sum is fixed.
type winogradGrad struct {
	tiling
	c                         *conv
	from, to                  int // tiles of the running chunk
	inputPatches, gradPatches patches

	transformJob, multiplyJob, storeJob func(worker, task int)
}

// gradChunk is the most tiles of a chunk: a panel of Z is then 16 KiB, and D is read and written once for 256 products.
const gradChunk = 256

func newWinogradGrad(c *conv, tile int) *winogradGrad {
	g := &winogradGrad{tiling: tiled(c.plan.Set, &c.shape, tile), c: c}
	g.inChunks(min(gradChunk, c.plan.Batch*g.tiles()))
	g.inputPatches, g.gradPatches = g.tiling.inputPatches(), g.tiling.gradPatches()
	c.plan.needShared(2*g.planesSize() + g.packedSize())
	c.plan.needScratch(max(g.stripSize(), 9*g.inBlocks*kernel.Block*kernel.Block))
	g.transformJob, g.multiplyJob, g.storeJob = g.transformTask, g.multiplyTask, g.storeTask
	return g
}

// The planes of the input and of the output's gradient, and their products: [plane][output block][input channel][16].

func (g *winogradGrad) v() []float32 { return g.c.plan.shared[:g.planesSize()] }
func (g *winogradGrad) z() []float32 { return g.c.plan.shared[g.planesSize():][:g.planesSize()] }
func (g *winogradGrad) d() []float32 { return g.c.plan.shared[2*g.planesSize():][:g.packedSize()] }

func (g *winogradGrad) run(n int) {
	team := g.c.plan.team
	total := n * g.tiles()
	for g.from = 0; g.from < total; g.from = g.to {
		g.to = min(g.from+g.chunk, total)
		team.run(g.inBlocks+g.outBlocks, g.transformJob)
		team.run(g.Planes(), g.multiplyJob)
	}
	team.run(g.outBlocks, g.storeJob)
}

// transformTask takes one block of channels of the input, or of the output's gradient.
func (g *winogradGrad) transformTask(worker, task int) {
	patch := g.c.plan.scratch[worker]
	if task < g.inBlocks {
		g.gather(&g.inputPatches, g.v(), patch, g.c.in.data, task, g.from, g.to)
	} else {
		g.gather(&g.gradPatches, g.z(), patch, g.c.out.grad, task-g.inBlocks, g.from, g.to)
	}
}

func (g *winogradGrad) multiplyTask(_, plane int) {
	channels := g.inBlocks * kernel.Block
	g.set.Matmul(&kernel.Matmul{
		Bands: g.inBlocks, M: kernel.Block, Blocks: g.outBlocks,
		K: g.to - g.from, Runs: oneRun,
		A: g.v()[plane*g.plane():], ABand: g.chunk * kernel.Block, ARow: 1, ACol: kernel.Block,
		B: g.z()[plane*g.plane():], BRow: kernel.Block, BBlock: g.chunk * kernel.Block,
		C: g.d()[plane*g.outBlocks*channels*kernel.Block:], CBand: kernel.Block * kernel.Block, CRow: kernel.Block, CBlock: channels * kernel.Block,
		Accumulate: g.from > 0,
	})
}

// storeTask transforms one output block of D and stores it in O,I,H,W order.
func (g *winogradGrad) storeTask(worker, block int) {
	channels := g.inBlocks * kernel.Block
	taps := g.c.plan.scratch[worker][:9*channels*kernel.Block]
	g.Winograd.WeightGrad(taps, g.d()[block*channels*kernel.Block:], g.outBlocks*channels*kernel.Block, channels)
	in, out := g.c.in.shape.C, g.c.out.shape.C
	for lane := range min(kernel.Block, out-block*kernel.Block) {
		filter := g.c.w.Grad[(block*kernel.Block+lane)*in*9:][:in*9]
		for i := range filter {
			filter[i] = taps[i*kernel.Block+lane]
		}
	}
}
