package kernel

import (
	"fmt"

	"github.com/vggo/vggo/tensor"
)

// Matmul is C = A*B with the addressing that a convolution needs, so that one micro-kernel serves direct convolution in
// blocked layout, its weight gradient, and plain matrix products:
//
//	C[r][i][n][j] = sum over runs t and k < K of A[Runs[t] + r*ABand + i*ARow + k*ACol] * B[n*BBlock + (t*K+k)*BRow + j]
//
// for Bands r, M rows i, Blocks n and j < 16. All strides count float32 elements. A direct convolution reads row r of
// output pixels i through runs (one per kernel row and channel block) of K = kernel width * 16 contiguous floats.
type Matmul struct {
	Bands, M, Blocks    int
	K                   int // depth of a run
	Runs                []int
	A                   []float32
	ABand, ARow, ACol   int
	B                   []float32
	Half                []uint16 // in place of B: float16, each multiplied as the float32 that it is, to the same bits
	BRow, BBlock        int
	C                   []float32
	CBand, CRow, CBlock int
	Bias                []float32 // Blocks*16 values added to every row, or nil
	Accumulate          bool      // add to what C holds; Bias is then ignored
	ReLU                bool      // store max(0, C)
	// where B goes on in the product after this one: memory is asked for it beforehand; or nil
	Next     []float32
	NextHalf []uint16 // the same of Half
}

// check panics unless every element addressed lies within its slice, once for all tiles.
func (m *Matmul) check() {
	if m.Bands < 1 || m.M < 1 || m.Blocks < 1 || m.K < 1 || len(m.Runs) < 1 {
		panic("kernel: matmul of nothing")
	}
	lo, hi := m.Runs[0], m.Runs[0]
	for _, r := range m.Runs {
		lo, hi = min(lo, r), max(hi, r)
	}
	if min(m.ABand, m.ARow, m.ACol, m.BRow, m.BBlock, m.CBand, m.CRow, m.CBlock, lo) < 0 {
		panic("kernel: matmul with a negative stride")
	}
	if hi+(m.Bands-1)*m.ABand+(m.M-1)*m.ARow+(m.K-1)*m.ACol >= len(m.A) {
		panic("kernel: matmul reads beyond A")
	}
	if (m.Blocks-1)*m.BBlock+(len(m.Runs)*m.K-1)*m.BRow+Block > max(len(m.B), len(m.Half)) ||
		len(m.B) > 0 && m.Half != nil {
		panic("kernel: matmul reads beyond B, or has two")
	}
	if (m.Bands-1)*m.CBand+(m.M-1)*m.CRow+(m.Blocks-1)*m.CBlock+Block > len(m.C) {
		panic("kernel: matmul writes beyond C")
	}
	if m.Bias != nil && len(m.Bias) < m.Blocks*Block {
		panic("kernel: matmul's bias is short")
	}
}

// Matmul computes m. Each element of C is one chain of float32 multiply-adds in order of t and k, whatever the tiling:
// passing through C between chunks of Depth rounds nothing.
func (s *Set) Matmul(m *Matmul) {
	m.check()
	bands, rows, aBand, cBand := m.Bands, m.M, m.ABand, m.CBand
	if aBand == rows*m.ARow && cBand == rows*m.CRow {
		bands, rows = 1, bands*rows // the bands join up
	}
	runs := max(1, s.Depth/m.K)
	tile := len(s.gemm[0])
	tiles := (rows + tile - 1) / tile
	for t := 0; t < len(m.Runs); t += runs {
		n := min(runs, len(m.Runs)-t)
		flags := 0
		if t > 0 || m.Accumulate {
			flags |= flagAccumulate
		}
		if m.ReLU && t+n == len(m.Runs) {
			flags |= flagReLU
		}
		for j := 0; j < m.Blocks; {
			width := min(len(s.gemm), m.Blocks-j)
			kernels, halfKernels := s.gemm[width-1], s.gemmF16[width-1]
			place := j*m.BBlock + t*m.K*m.BRow
			var next [2]*float32
			var nextHalf [2]*uint16
			if m.Half == nil {
				next = ahead(m, m.B, m.Next, t, j, width, runs)
			} else {
				nextHalf = ahead(m, m.Half, m.NextHalf, t, j, width, runs)
			}
			call := 0
			var bias *float32
			if m.Bias != nil {
				bias = &m.Bias[j*Block]
			}
			for r := range bands {
				// Rows are dealt out evenly, 14 as 5+5+4 rather than 6+6+2: a narrow tile starves the FMA units.
				for i, left := 0, tiles; left > 0; left-- {
					height := (rows - i + left - 1) / left
					a, c := &m.A[r*aBand+i*m.ARow], &m.C[r*cBand+i*m.CRow+j*m.CBlock]
					if m.Half == nil {
						kernels[height-1](a, 4*m.ARow, 4*m.ACol, &m.Runs[t], n, m.K, &m.B[place], 4*m.BRow, 4*m.BBlock,
							c, 4*m.CRow, 4*m.CBlock, bias, next[call%2], flags)
					} else {
						halfKernels[height-1](a, 4*m.ARow, 4*m.ACol, &m.Runs[t], n, m.K, &m.Half[place], 2*m.BRow, 2*m.BBlock,
							c, 4*m.CRow, 4*m.CBlock, bias, nextHalf[call%2], flags)
					}
					call++
					i += height
				}
			}
			j += width
		}
	}
}

// ahead is where the two blocks of B begin that come after those of runs from t on and blocks from j on. Every tile
// asks memory for one row of them with each step of its depth, tile by tile in turn: what they read then comes
// from the L2 cache, where the processor alone would find a stream again after every 4 KiB.
func ahead[T float32 | uint16](m *Matmul, b, next []T, t, j, width, runs int) [2]*T {
	here := &b[j*m.BBlock+t*m.K*m.BRow]
	if j += width; j >= m.Blocks {
		j, t = 0, t+runs
	}
	if t >= len(m.Runs) {
		t, b = 0, next
	}
	at := [2]*T{here, here}
	for i := range at {
		if from := min(j+i, m.Blocks-1)*m.BBlock + t*m.K*m.BRow; from < len(b) {
			at[i] = &b[from]
		}
	}
	return at
}

// Dot is C[i][j] = sum over k < K of A[i*ARow+k]*B[j*BRow+k], plus Bias[j] or what C holds: both operands lie along k.
type Dot struct {
	M, N, K    int
	A          []float32
	ARow       int
	B          []float32
	Half       tensor.Halves // in place of B: each is multiplied as the float32 that it is, which gives the same bits
	BRow       int
	C          []float32
	CRow       int
	Bias       []float32 // N values, or nil
	Accumulate bool
	ReLU       bool
}

// Dot computes d. Four rows of B are read at a time, each once.
func (s *Set) Dot(d *Dot) {
	if d.M < 1 || d.N < 1 || d.K < 1 {
		panic("kernel: dot of nothing")
	}
	if min(d.ARow, d.BRow, d.CRow) < 0 || (d.M-1)*d.ARow+d.K > len(d.A) ||
		(d.N-1)*d.BRow+d.K > max(len(d.B), len(d.Half.Bits)) || len(d.B) > 0 && d.Half.Bits != nil ||
		(d.M-1)*d.CRow+d.N > len(d.C) || d.Bias != nil && len(d.Bias) < d.N {
		panic(fmt.Sprintf("kernel: dot %dx%dx%d exceeds its operands", d.M, d.N, d.K))
	}
	flags := 0
	if d.Accumulate {
		flags |= flagAccumulate
	}
	if d.ReLU {
		flags |= flagReLU
	}
	for j := 0; j < d.N; {
		width, kind := 1, 0
		if d.N-j >= 4 {
			width, kind = 4, 1
		}
		var bias *float32
		if d.Bias != nil {
			bias = &d.Bias[j]
		}
		for i := 0; i < d.M; {
			height := min(len(s.dot), d.M-i)
			a, c := &d.A[i*d.ARow], &d.C[i*d.CRow+j]
			if d.Half.Bits == nil {
				s.dot[height-1][kind](a, 4*d.ARow, &d.B[j*d.BRow], 4*d.BRow, d.K, c, 4*d.CRow, bias, flags)
			} else {
				s.halfDot(d.Half)[height-1][kind](a, 4*d.ARow, &d.Half.Bits[j*d.BRow], 2*d.BRow, d.K, c, 4*d.CRow, bias, flags)
			}
			i += height
		}
		j += width
	}
}
