// Package kernel holds the loops that take the time, one Set of them per instruction set, and the only assembly and
// unsafe code of vggo.
//
// # Vocabulary
//
// A blocked feature map stores [channel/16][row][column][16]: 16 neighbouring channels of a pixel lie side by side (a
// block, 64 bytes: one ZMM, two YMM or four NEON registers), on every instruction set, so that layouts do not depend on
// the machine. Channels beyond the last are zero. Matrix products speak M rows, N columns, K depth; other kernels speak
// of pixels and channels. Buffers are src and dst, weights are B.
//
// # Contract
//
// Tails: K and M may be anything; N and element-wise lengths are whole blocks. Aliasing: dst may equal src exactly
// where a function says so, and never overlap it otherwise. NaN and Inf follow IEEE 754; ReLU and max pooling pass NaN
// on, as PyTorch does. Rounding: one chain of fused multiply-adds per output element in order of K (in the generic set
// a product is rounded before it is added, on every processor), so a result depends on the Set but not on tiling over M
// or N, nor on the number of threads. Dot keeps one such chain per vector lane and adds the lanes in a fixed order. The
// sign of a zero is left open.
package kernel
