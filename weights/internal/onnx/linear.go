package onnx

import (
	"fmt"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
)

// maxRepeated bounds what a file's one number may become.
const maxRepeated = 1 << 20

// gemm is alpha * A' * B' + beta * C (A' being A, or transposed with transA), of which B is the weights.
func (c *chain) gemm(a *arguments, in []*constant) error {
	alpha, beta := a.float("alpha", 1), a.float("beta", 1)
	transA, transB := a.int("transA", 0) != 0, a.int("transB", 0) != 0
	weight, outs, err := matrixOf(input(in, 1), transB)
	if err != nil {
		return err
	}
	if len(c.dims) != 2 {
		a.fail("an input of %d dimensions, not 2", len(c.dims))
	}
	if alpha == 0 {
		a.fail("alpha is 0")
	}
	if a.err != nil {
		return a.err
	}
	rows, columns := c.dims[0], c.dims[1]
	if transA {
		rows, columns = columns, rows
	}
	weight.layout.Scale = float32(alpha)
	bias := input(in, 2)
	if beta == 0 {
		bias = nil
	}
	if !c.bound && bias != nil && bias.tensor != nil && len(bias.tensor.Dims) == 2 && bias.tensor.Dims[0] != 1 &&
		rows.size() != 1 {
		return c.gemmOfOneImage(a, rows, columns, weight, outs, bias, float32(beta))
	}
	if err := c.linear(a, rows, columns, weight, outs); err != nil {
		return err
	}
	c.dims = []axes{c.image[0], c.image[1]}
	if bias == nil {
		return nil
	}
	return c.addConstant(a, bias, float32(beta))
}

// matrixOf is a fully connected layer's weights, in, out or, transposed, out, in, and how many outputs they have.
func matrixOf(k *constant, transposed bool) (weight *param, outs int, err error) {
	if k != nil && slices.Equal(k.axes, []int{1, 0}) {
		k, transposed = &constant{tensor: k.tensor}, !transposed
	}
	weight, dims, err := weightOf(k, 2)
	if err != nil || transposed {
		return weight, append(dims, 0)[0], err
	}
	weight.layout = format.InOut
	return weight, dims[1], nil
}

// linear adds a fully connected layer without bias. Its input has an image's values in the columns.
func (c *chain) linear(a *arguments, rows, columns axes, weight *param, outs int) error {
	if !c.bound {
		if err := c.bind(rows, columns, nil, nil); err != nil {
			return err
		}
	}
	if !slices.Equal(rows, c.image[0]) {
		return fmt.Errorf("its rows are not the images")
	}
	hwc, err := c.features(a, columns)
	if err != nil {
		return err
	}
	weight.layout.Flat = hwc
	ins := format.Product(weight.tensor.Dims) / max(outs, 1)
	if s := c.mapShape(); s.C != ins {
		return fmt.Errorf("weights for %d inputs, it has %d", ins, s.C)
	}
	return c.push(a, arch.Linear{Out: outs, NoBias: true}, map[string]*param{"w": weight})
}

// gemmOfOneImage is a Gemm that adds another bias to each row, so that the rows cannot be images. They are the rows of
// one image, its columns the channels: a 1x1 convolution, and a vector that is added to all of its output.
func (c *chain) gemmOfOneImage(a *arguments, rows, columns axes, weight *param, outs int, bias *constant,
	beta float32) error {
	if err := c.bind(nil, columns, rows, nil); err != nil {
		return err
	}
	if ins := format.Product(weight.tensor.Dims) / max(outs, 1); c.mapShape().C != ins {
		return fmt.Errorf("weights for %d inputs, it has %d", ins, c.mapShape().C)
	}
	if weight.layout.Axes == nil {
		weight.layout.Axes = []int{0, 1} // the convolution's weights have two axes in the file
	}
	op := arch.Conv{Out: outs, Window: arch.Window{Kernel: arch.Square(1)}, NoBias: true}
	if err := c.push(a, op, map[string]*param{"w": weight}); err != nil {
		return err
	}
	c.dims = []axes{c.image[2], c.image[1]}
	return c.addConstant(a, bias, beta)
}

// matMul multiplies by a matrix of weights; a bias may follow in an Add.
func (c *chain) matMul(a *arguments, in []*constant) error {
	if in[0] != nil {
		return fmt.Errorf("its weights are the first factor: vggo's layers take them as the second")
	}
	weight, outs, err := matrixOf(input(in, 1), false)
	if err != nil {
		return err
	}
	last := len(c.dims) - 1
	if last < 1 {
		return fmt.Errorf("an input of %d dimensions", last+1)
	}
	outer := c.dims[:last]
	if err := c.linear(a, concat(outer...), c.dims[last], weight, outs); err != nil {
		return err
	}
	c.dims = append(slices.Clone(outer), c.image[1])
	return nil
}
