package nn

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/fault"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/parallel"
	"github.com/vggo/vggo/tensor"
)

// Half is which weights a Plan reads in 16 bits. Each is multiplied as the float32 that it is, and sums are float32:
// what it costs is the one rounding of each weight, to nearest even, by at most 2^-11 of itself or, below 2^-14, by
// 2^-25. A network of one image waits for its weights, so half the bytes are up to half the time.
type Half int

const (
	// HalfNone keeps all weights in float32.
	HalfNone Half = iota
	// HalfLinear keeps those of fully connected layers as float16 in place of float32, or as bfloat16 where the file has
	// them so. Params must be NewHalfParams'.
	HalfLinear
	// HalfAll keeps those of convolutions too, as their algorithms read them: transformed, by Winograd's. What these
	// transforms then cancel makes of 2^-11 several times as much in the output.
	HalfAll
)

var halfNames = [...]string{HalfNone: "none", HalfLinear: "linear", HalfAll: "all"}

func (h Half) String() string { return halfNames[h] }

// ParseHalf is the Half of a name.
func ParseHalf(name string) (Half, error) {
	if i := slices.Index(halfNames[:], name); i >= 0 {
		return Half(i), nil
	}
	return 0, fmt.Errorf("nn: no weights called %q to keep in 16 bits: none, linear or all", name)
}

// inHalf reports whether a layer's parameter is kept in 16 bits where any are.
func inHalf(op arch.Op, p arch.Param) bool {
	_, linear := op.(arch.Linear)
	return linear && p.Role() == "w"
}

// HalfError is a parameter that cannot be kept as float16: rounded, it would be infinite. Of a convolution the Value
// may be what Winograd's algorithm or a batch norm makes of weights.
type HalfError struct {
	Param string
	Value float32
}

func (e *HalfError) Error() string {
	return fmt.Sprintf("nn: parameter %s comes to %v, and the largest float16 is %d", e.Param, e.Value, kernel.MaxFloat16)
}

// quickest is the Set that converts: all do to the same bits.
func quickest() *kernel.Set { return kernel.Sets()[0] }

// narrow keeps data, which may be mapped from a file, as float16.
func (q *Param) narrow(data []float32) error {
	if q.kept { // until now
		q.Half, q.kept = tensor.Halves{Bits: kernel.AllocHalves(q.Count())}, false
	}
	const chunk = 1 << 16
	set, threads := quickest(), runtime.GOMAXPROCS(0)
	faults := make([]error, (len(data)+chunk-1)/chunk)
	parallel.Each(threads, len(faults), func(i int) {
		from, to := i*chunk, min((i+1)*chunk, len(data))
		faults[i] = fault.Catch(func() error {
			if at := set.Narrow(q.Half.Bits[from:to], data[from:to]); at >= 0 {
				return &HalfError{q.Name, data[from+at]}
			}
			return nil
		})
	})
	for _, err := range faults {
		if halved := new(HalfError); errors.As(err, &halved) {
			return err
		} else if err != nil {
			return fmt.Errorf("nn: parameter %s: %w", q.Name, err)
		}
	}
	return nil
}

// Rounded is the bytes of weights in 16 bits that Params made of others. They are memory of their own, where a file's
// are mapped.
func (p *Params) Rounded() (bytes int64) {
	for _, q := range p.List {
		if q.half && !q.kept {
			bytes += 2 * int64(q.Count())
		}
	}
	return bytes
}

// firstOf is the first number of a list that is not 0; 0 where there is none.
func firstOf(numbers []float32) float32 {
	for _, x := range numbers {
		if x != 0 {
			return x
		}
	}
	return 0
}

// held is how many values the parameter has.
func (q *Param) held() int { return max(len(q.Data), len(q.Half.Bits)) }

// Values copies the parameter's values from one on, as float32.
func (q *Param) Values(dst []float32, from int) {
	if !q.half {
		copy(dst, q.Data[from:])
		return
	}
	quickest().Widen(dst, tensor.Halves{Bits: q.Half.Bits[from:][:len(dst)], Brain: q.Half.Brain})
}

// checkHalf refuses what weights in 16 bits are not for.
func (o *Options) checkHalf() error {
	if o.Half != HalfNone && o.Training {
		return errors.New("nn: weights in 16 bits do not learn: what a step adds to them would be rounded away")
	}
	return nil
}

// bytes is what a layer's parameters take.
func (o *Options) bytes(layer arch.Placed) (sum int64) {
	for _, q := range layer.Params {
		size := int64(4)
		if o.Half != HalfNone && inHalf(layer.Op, q) {
			size = 2
		}
		sum += size * int64(q.Count())
	}
	return sum
}
