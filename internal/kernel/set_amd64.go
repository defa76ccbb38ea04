//go:build amd64 && !purego

package kernel

import "golang.org/x/sys/cpu"

// candidates lists the Sets of this architecture, best first.
var candidates = []candidate{
	{&avx512Set, func() bool {
		return cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512BW && cpu.X86.HasBMI2 && cpu.X86.HasFMA
	}},
	{&avx2Set, func() bool { return cpu.X86.HasAVX2 && cpu.X86.HasFMA }},
}

// A 6x16 tile takes 12 of 16 YMM registers: 12 independent FMA chains cover a latency of 4 at 2 a cycle.
var avx2Set = Set{
	Name: "avx2", Depth: 256, PeakLanes: 8,
	gemm:               [][]gemmFunc{{gemm1x16AVX2, gemm2x16AVX2, gemm3x16AVX2, gemm4x16AVX2, gemm5x16AVX2, gemm6x16AVX2}},
	dot:                [][2]dotFunc{{dot1x1AVX2, dot1x4AVX2}, {dot2x1AVX2, dot2x4AVX2}, {dot3x1AVX2, dot3x4AVX2}},
	relu:               reluAVX2,
	reluGrad:           reluGradAVX2,
	axpy:               axpyAVX2,
	scaleShift:         scaleShiftAVX2,
	sumLanes:           sumLanesAVX2,
	dotLanes:           dotLanesAVX2,
	maxPool:            maxPoolAVX2,
	maxPoolGrad:        maxPoolGradAVX2,
	winogradInput:      winogradInputAVX2,
	winogradOutput:     winogradOutputAVX2,
	winogradGrad:       winogradGradAVX2,
	winogradWeight:     winogradWeightAVX2,
	winogradWeightGrad: winogradWeightGradAVX2,
	peak:               peakAVX2,
	peakFLOP:           12 * 8 * 2,
	read:               readAVX2,
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
	dot:                [][2]dotFunc{{dot1x1AVX512, dot1x4AVX512}, {dot2x1AVX512, dot2x4AVX512}, {dot3x1AVX512, dot3x4AVX512}},
	relu:               reluAVX512,
	reluGrad:           reluGradAVX512,
	axpy:               axpyAVX512,
	scaleShift:         scaleShiftAVX512,
	sumLanes:           sumLanesAVX512,
	dotLanes:           dotLanesAVX512,
	maxPool:            maxPoolAVX512,
	maxPoolGrad:        maxPoolGradAVX512,
	winogradInput:      winogradInputAVX512,
	winogradOutput:     winogradOutputAVX512,
	winogradGrad:       winogradGradAVX512,
	winogradWeight:     winogradWeightAVX512,
	winogradWeightGrad: winogradWeightGradAVX512,
	peak:               peakAVX512,
	peakFLOP:           24 * 16 * 2,
	read:               readAVX512,
}
