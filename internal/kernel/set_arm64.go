//go:build !purego

package kernel

// candidates lists the Sets of this architecture, best first. Every arm64 processor that Go runs on has NEON.
var candidates = []candidate{{&neonSet, func() bool { return true }}}

// A 6x16 tile takes 24 of 32 registers, the numbers that it multiplies the rest.
var neonSet = Set{
	Name: "neon", Depth: 256, PeakLanes: 4,
	gemm: [][]gemmFunc{{gemm1x16NEON, gemm2x16NEON, gemm3x16NEON, gemm4x16NEON, gemm5x16NEON, gemm6x16NEON}},
	dot:  [][2]dotFunc{{dot1x1NEON, dot1x4NEON}, {dot2x1NEON, dot2x4NEON}, {dot3x1NEON, dot3x4NEON}},
	gemmF16: [][]halfGemmFunc{
		{gemm1x16F16NEON, gemm2x16F16NEON, gemm3x16F16NEON, gemm4x16F16NEON, gemm5x16F16NEON, gemm6x16F16NEON},
	},
	dotF16: [][2]halfDotFunc{{dot1x1F16NEON, dot1x4F16NEON}, {dot2x1F16NEON, dot2x4F16NEON},
		{dot3x1F16NEON, dot3x4F16NEON}},
	dotBF16: [][2]halfDotFunc{{dot1x1BF16NEON, dot1x4BF16NEON}, {dot2x1BF16NEON, dot2x4BF16NEON},
		{dot3x1BF16NEON, dot3x4BF16NEON}},
	widen:       widenNEON,
	narrow:      narrowNEON,
	relu:        reluNEON,
	reluGrad:    reluGradNEON,
	axpy:        axpyNEON,
	mulAdd:      mulAddNEON,
	scaleShift:  scaleShiftNEON,
	sumLanes:    sumLanesNEON,
	dotLanes:    dotLanesNEON,
	maxPool:     maxPoolNEON,
	maxPoolGrad: maxPoolGradNEON,
	winners:     winnersNEON,
	unpool:      unpoolNEON,
	winograd: [...]winogradFuncs{
		{winogradInput2NEON, winogradOutput2NEON, winogradGrad2NEON, winogradWeight2NEON, winogradWeightGrad2NEON},
		{winogradInput4NEON, winogradOutput4NEON, winogradGrad4NEON, winogradWeight4NEON, winogradWeightGrad4NEON},
		{winogradInput6NEON, winogradOutput6NEON, winogradGrad6NEON, winogradWeight6NEON, winogradWeightGrad6NEON},
	},
	peak:     peakNEON,
	peakFLOP: 24 * 4 * 2,
	read:     readNEON,
}
