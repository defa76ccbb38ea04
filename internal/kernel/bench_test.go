package kernel

import (
	"fmt"
	"testing"
)

// BenchmarkGemm times every tile on a product that stays in the L2 cache, against the peak of the same Set.
func BenchmarkGemm(b *testing.B) {
	for _, s := range Sets() {
		peak := s.FMAPeak(1)
		for blocks := 1; blocks <= len(s.gemm); blocks++ {
			for rows := 1; rows <= len(s.gemm[0]); rows++ {
				b.Run(fmt.Sprintf("set=%s/tile=%dx%d", s, rows, blocks*Block), func(b *testing.B) {
					tiled := *s // with nothing larger than this tile, and no other that fits as well
					tiled.gemm = nil
					for _, byRows := range s.gemm[:blocks] {
						tiled.gemm = append(tiled.gemm, byRows[:rows])
					}
					// A and B take at most 128 KB each.
					m := Matmul{Bands: 1, M: 128 / rows * rows, Blocks: 4, K: s.Depth, Runs: []int{0}, ARow: s.Depth, ACol: 1,
						BRow: Block, BBlock: s.Depth * Block, CRow: 4 * Block, CBlock: Block}
					m.A, m.B, m.C = Alloc(m.M*m.ARow), Alloc(m.Blocks*m.BBlock), Alloc(m.M*m.CRow)
					for b.Loop() {
						tiled.Matmul(&m)
					}
					flop := 2 * float64(m.M*m.K*m.Blocks*Block)
					rate := flop * float64(b.N) / float64(b.Elapsed().Nanoseconds())
					b.ReportMetric(rate, "GFLOP/s")
					b.ReportMetric(100*rate/peak, "%peak")
				})
			}
		}
	}
}

// BenchmarkDot times VGG's fc6 for one image: 411 MB of weights, each used once, against the memory's bandwidth.
func BenchmarkDot(b *testing.B) {
	const outputs, inputs = 4096, 7 * 7 * 512
	d := Dot{M: 1, N: outputs, K: inputs, A: Alloc(inputs), ARow: inputs, B: Alloc(outputs * inputs), BRow: inputs,
		C: Alloc(outputs), CRow: outputs}
	for i := range d.B {
		d.B[i] = 1 // memory never written is one page of zeros in the cache
	}
	for _, s := range Sets() {
		bandwidth := s.ReadBandwidth(1)
		b.Run(fmt.Sprintf("set=%s/layer=fc6/batch=1", s), func(b *testing.B) {
			for b.Loop() {
				s.Dot(&d)
			}
			rate := 4 * float64(len(d.B)) * float64(b.N) / float64(b.Elapsed().Nanoseconds())
			b.ReportMetric(rate, "GB/s")
			b.ReportMetric(100*rate/bandwidth, "%bandwidth")
		})
	}
}
