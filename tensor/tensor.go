// Package tensor holds a float32 array with its shape in plain sight, as image.RGBA holds pixels.
package tensor

import "fmt"

// Tensor is N feature maps of C channels, H rows and W columns, float32, in NCHW order: element (n,c,y,x) is
// Data[((n*C+c)*H+y)*W+x]. A batch of vectors has H = W = 1.
type Tensor struct {
	N, C, H, W int
	Data       []float32
}

// New allocates a zeroed tensor. It panics on a negative size, as make does.
func New(n, c, h, w int) *Tensor {
	return &Tensor{N: n, C: c, H: h, W: w, Data: make([]float32, n*c*h*w)}
}

// At returns element (n,c,y,x).
func (t *Tensor) At(n, c, y, x int) float32 { return t.Data[((n*t.C+c)*t.H+y)*t.W+x] }

// Set stores element (n,c,y,x).
func (t *Tensor) Set(n, c, y, x int, v float32) { t.Data[((n*t.C+c)*t.H+y)*t.W+x] = v }

// Images returns a view of images i to j-1; it shares Data.
func (t *Tensor) Images(i, j int) *Tensor {
	size := t.C * t.H * t.W
	return &Tensor{N: j - i, C: t.C, H: t.H, W: t.W, Data: t.Data[i*size : j*size : j*size]}
}

// Shape writes the shape as in an error message: "32x3x224x224".
func (t *Tensor) Shape() string { return fmt.Sprintf("%dx%dx%dx%d", t.N, t.C, t.H, t.W) }
