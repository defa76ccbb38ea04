//go:build amd64 && !purego

package kernel

import "golang.org/x/sys/cpu"

// candidates lists the Sets of this architecture, best first.
var candidates = []candidate{
	{&avx512Set, func() bool {
		return cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512BW && cpu.X86.HasBMI2 &&
			cpu.X86.HasFMA
	}},
	{&avx2Set, func() bool { return cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasF16C }},
}

// A 6x16 tile takes 12 of 16 YMM registers: 12 independent FMA chains cover a latency of 4 at 2 a cycle.
var avx2Set = Set{
	Name: "avx2", Depth: 256, PeakLanes: 8,
	gemm: [][]gemmFunc{{gemm1x16AVX2, gemm2x16AVX2, gemm3x16AVX2, gemm4x16AVX2, gemm5x16AVX2, gemm6x16AVX2}},
	dot:  [][2]dotFunc{{dot1x1AVX2, dot1x4AVX2}, {dot2x1AVX2, dot2x4AVX2}, {dot3x1AVX2, dot3x4AVX2}},
	gemmF16: [][]halfGemmFunc{
		{gemm1x16F16AVX2, gemm2x16F16AVX2, gemm3x16F16AVX2, gemm4x16F16AVX2, gemm5x16F16AVX2, gemm6x16F16AVX2},
	},
	dotF16: [][2]halfDotFunc{{dot1x1F16AVX2, dot1x4F16AVX2}, {dot2x1F16AVX2, dot2x4F16AVX2},
		{dot3x1F16AVX2, dot3x4F16AVX2}},
	dotBF16: [][2]halfDotFunc{{dot1x1BF16AVX2, dot1x4BF16AVX2}, {dot2x1BF16AVX2, dot2x4BF16AVX2},
		{dot3x1BF16AVX2, dot3x4BF16AVX2}},
	widen:       widenAVX2,
	narrow:      narrowAVX2,
	relu:        reluAVX2,
	reluGrad:    reluGradAVX2,
	axpy:        axpyAVX2,
	mulAdd:      mulAddAVX2,
	scaleShift:  scaleShiftAVX2,
	sumLanes:    sumLanesAVX2,
	dotLanes:    dotLanesAVX2,
	maxPool:     maxPoolAVX2,
	maxPoolGrad: maxPoolGradAVX2,
	winners:     winnersAVX2,
	unpool:      unpoolAVX2,
	winograd: [...]winogradFuncs{
		{winogradInput2AVX2, winogradOutput2AVX2, winogradGrad2AVX2, winogradWeight2AVX2, winogradWeightGrad2AVX2},
		{winogradInput4AVX2, winogradOutput4AVX2, winogradGrad4AVX2, winogradWeight4AVX2, winogradWeightGrad4AVX2},
		{winogradInput6AVX2, winogradOutput6AVX2, winogradGrad6AVX2, winogradWeight6AVX2, winogradWeightGrad6AVX2},
	},
	peak:     peakAVX2,
	peakFLOP: 12 * 8 * 2,
	read:     readAVX2,
}

// A 14x32 tile takes 28 of 32 ZMM registers and loads 16 vectors for 28 FMAs.
var avx512Set = Set{
	Name: "avx512", Depth: 256, PeakLanes: 16,
	gemm: [][]gemmFunc{
		{gemm1x16AVX512, gemm2x16AVX512, gemm3x16AVX512, gemm4x16AVX512, gemm5x16AVX512, gemm6x16AVX512, gemm7x16AVX512,
			gemm8x16AVX512, gemm9x16AVX512, gemm10x16AVX512, gemm11x16AVX512, gemm12x16AVX512, gemm13x16AVX512, gemm14x16AVX512},
		{gemm1x32AVX512, gemm2x32AVX512, gemm3x32AVX512, gemm4x32AVX512, gemm5x32AVX512, gemm6x32AVX512, gemm7x32AVX512,
			gemm8x32AVX512, gemm9x32AVX512, gemm10x32AVX512, gemm11x32AVX512, gemm12x32AVX512, gemm13x32AVX512, gemm14x32AVX512},
	},
	dot: [][2]dotFunc{{dot1x1AVX512, dot1x4AVX512}, {dot2x1AVX512, dot2x4AVX512}, {dot3x1AVX512, dot3x4AVX512}},
	gemmF16: [][]halfGemmFunc{
		{gemm1x16F16AVX512, gemm2x16F16AVX512, gemm3x16F16AVX512, gemm4x16F16AVX512, gemm5x16F16AVX512,
			gemm6x16F16AVX512, gemm7x16F16AVX512, gemm8x16F16AVX512, gemm9x16F16AVX512, gemm10x16F16AVX512,
			gemm11x16F16AVX512, gemm12x16F16AVX512, gemm13x16F16AVX512, gemm14x16F16AVX512},
		{gemm1x32F16AVX512, gemm2x32F16AVX512, gemm3x32F16AVX512, gemm4x32F16AVX512, gemm5x32F16AVX512,
			gemm6x32F16AVX512, gemm7x32F16AVX512, gemm8x32F16AVX512, gemm9x32F16AVX512, gemm10x32F16AVX512,
			gemm11x32F16AVX512, gemm12x32F16AVX512, gemm13x32F16AVX512, gemm14x32F16AVX512},
	},
	dotF16: [][2]halfDotFunc{{dot1x1F16AVX512, dot1x4F16AVX512}, {dot2x1F16AVX512, dot2x4F16AVX512},
		{dot3x1F16AVX512, dot3x4F16AVX512}},
	dotBF16: [][2]halfDotFunc{{dot1x1BF16AVX512, dot1x4BF16AVX512}, {dot2x1BF16AVX512, dot2x4BF16AVX512},
		{dot3x1BF16AVX512, dot3x4BF16AVX512}},
	widen:       widenAVX512,
	narrow:      narrowAVX512,
	relu:        reluAVX512,
	reluGrad:    reluGradAVX512,
	axpy:        axpyAVX512,
	mulAdd:      mulAddAVX512,
	scaleShift:  scaleShiftAVX512,
	sumLanes:    sumLanesAVX512,
	dotLanes:    dotLanesAVX512,
	maxPool:     maxPoolAVX512,
	maxPoolGrad: maxPoolGradAVX512,
	winners:     winnersAVX2, // wider ones would run on processors that these were not tried on
	unpool:      unpoolAVX2,
	winograd: [...]winogradFuncs{
		{winogradInput2AVX512, winogradOutput2AVX512, winogradGrad2AVX512, winogradWeight2AVX512, winogradWeightGrad2AVX512},
		{winogradInput4AVX512, winogradOutput4AVX512, winogradGrad4AVX512, winogradWeight4AVX512, winogradWeightGrad4AVX512},
		{winogradInput6AVX512, winogradOutput6AVX512, winogradGrad6AVX512, winogradWeight6AVX512, winogradWeightGrad6AVX512},
	},
	peak:     peakAVX512,
	peakFLOP: 24 * 16 * 2,
	read:     readAVX512,
}
