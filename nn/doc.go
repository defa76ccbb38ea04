// Package nn runs an arch.Network: forward, backward, on the kernels of this machine.
//
// Compile turns a network and its parameters into a Plan for batches of up to N images: it fuses what can be fused,
// packs the weights, lays out all memory, and from then on a step allocates nothing. Inside a Plan feature maps are
// blocked (package kernel); at its edges tensors are NCHW, convolution weights O,I,H,W and linear weights O,I, as in
// PyTorch.
//
// Each layer has one file, forward then backward. The plain float64 version of each is package nn/reference.
package nn
