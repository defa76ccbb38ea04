package vggo_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

const halfSpec = "32x32x3:16,16,M,32,M/512,256,10"

// halfFile writes random weights of halfSpec, but for some that edit changes, as safetensors of a type that put makes
// bytes of.
func halfFile(t *testing.T, dtype string, edit func(name string, values []float32)) string {
	t.Helper()
	placed, err := arch.Open(halfSpec)
	if err != nil {
		t.Fatal(err)
	}
	half := nn.NewHalfParams(placed)
	half.Init(nn.He, 1)
	header, data := map[string]any{}, []byte(nil)
	for _, p := range half.List {
		values := make([]float32, p.Count())
		p.Values(values, 0)
		if edit != nil {
			edit(p.Name, values)
		}
		from := len(data)
		switch {
		case dtype == "F16" && p.Half.Bits != nil:
			data, err = binary.Append(data, binary.LittleEndian, p.Half.Bits)
		case dtype == "BF16" && p.Half.Bits != nil:
			for _, x := range values {
				data = binary.LittleEndian.AppendUint16(data, uint16(math.Float32bits(x)>>16))
			}
		default:
			data, err = binary.Append(data, binary.LittleEndian, values)
		}
		if err != nil {
			t.Fatal(err)
		}
		stored := "F32"
		if p.Half.Bits != nil {
			stored = dtype
		}
		header[p.Name] = map[string]any{"dtype": stored, "shape": p.Shape, "data_offsets": []int{from, len(data)}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, strings.Repeat(" ", -len(text)&7)...)
	path := filepath.Join(t.TempDir(), "w.safetensors")
	whole := slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text, data)
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestHalf: what a model with weights in 16 bits answers has the bits of what it answers with the same weights in
// float32, whether the file has them in 32 bits, float16 or bfloat16; it takes as much memory as it says, and explains
// itself as without.
func TestHalf(t *testing.T) {
	ctx, x := context.Background(), tensor.New(1, 3, 32, 32)
	for i := range x.Data {
		x.Data[i] = float32(i%17) / 17
	}
	const halved = 2048*512 + 512*256 + 256*10 // weights
	for dtype, private := range map[string]int64{"F32": 2 * halved, "F16": 0, "BF16": 0} {
		path := halfFile(t, dtype, nil)
		open := func(half nn.Half) *vggo.Model {
			t.Helper()
			m, err := vggo.Open(path, vggo.Options{Network: halfSpec, Half: half})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { m.Close() })
			return m
		}
		usual, half := open(nn.HalfNone), open(nn.HalfLinear)
		for what, of := range map[string]func(m *vggo.Model) ([]float32, error){
			"logits":   func(m *vggo.Model) ([]float32, error) { y, err := m.Forward(ctx, x); return dataOf(y), err },
			"features": func(m *vggo.Model) ([]float32, error) { y, err := m.Features(ctx, "fc3", x); return dataOf(y), err },
			"inside": func(m *vggo.Model) ([]float32, error) {
				in, err := m.InsideTimed(ctx, x, 1)
				return dataOf(in.Logits), err
			},
			"gradient": func(m *vggo.Model) ([]float32, error) {
				g, err := m.Gradient(ctx, "pool2", 3, x)
				return dataOf(g.Gradient), err
			},
			"values": func(m *vggo.Model) ([]float32, error) { return m.Values("fc3/w", 5, 700) },
		} {
			want, err := of(usual)
			if err != nil {
				t.Fatalf("%s, %s: %v", dtype, what, err)
			}
			got, err := of(half)
			if err != nil || !slices.Equal(got, want) || len(want) == 0 {
				t.Errorf("%s: %s differ: %v", dtype, what, err)
			}
		}
		before, err := usual.Memory()
		if err != nil {
			t.Fatal(err)
		}
		if after, err := half.Memory(); err != nil || after != before+private {
			t.Errorf("%s: %d bytes beside the file, with weights in 16 bits %d, want %d more: %v", dtype, before, after,
				private, err)
		}
		sums := map[[sha256.Size]byte]bool{}
		for _, m := range []*vggo.Model{usual, half, open(nn.HalfAll)} {
			sums[must(m.Fingerprint())] = true
		}
		if len(sums) != 3 {
			t.Errorf("%s: checksums without weights in 16 bits, with linear ones and with all: %d differ", dtype, len(sums))
		}
		if _, err := half.ClassifyDense(ctx, vision.FromImage(noise(1, 40, 40)), []int{40}, false); err == nil {
			t.Errorf("%s: dense evaluation from weights in 16 bits", dtype)
		}
	}
}

func dataOf(t *tensor.Tensor) []float32 {
	if t == nil {
		return nil
	}
	return slices.Clone(t.Data)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestHalfBeyond: weights that float16 has no room for are refused, and in bfloat16 taken as they are.
func TestHalfBeyond(t *testing.T) {
	var edited []string
	edit := func(name string, values []float32) {
		if name == "fc4/w" {
			values[3] = 1e6
			edited = append(edited, name)
		}
	}
	for dtype, fits := range map[string]bool{"F32": false, "BF16": true} {
		m, err := vggo.Open(halfFile(t, dtype, edit), vggo.Options{Network: halfSpec, Half: nn.HalfLinear})
		var beyond *nn.HalfError
		if fits != (err == nil) || !fits && (!errors.As(err, &beyond) || beyond.Param != "fc4/w" || beyond.Value != 1e6) {
			t.Errorf("%s: %v", dtype, err)
		}
		if err == nil {
			m.Close()
		}
	}
	if len(edited) != 2 {
		t.Errorf("edited: %v", edited)
	}
}

// TestHalfOfRandom: random weights are those of a model in 32 bits, rounded.
func TestHalfOfRandom(t *testing.T) {
	var models [2]*vggo.Model
	for i := range models {
		models[i] = must(vggo.New(halfSpec, vggo.Options{Seed: 4, Half: nn.Half(i)}))
		defer models[i].Close()
	}
	for _, layer := range models[0].Placed.Layers {
		for _, p := range layer.Params {
			_, want, err := models[0].Parameter(p.Name)
			if err != nil {
				t.Fatal(err)
			}
			_, got, err := models[1].Parameter(p.Name)
			if err != nil {
				t.Fatal(err)
			}
			for i, w := range want {
				off := math.Abs(float64(got[i]) - float64(w))
				if off > max(0x1p-11*math.Abs(float64(w)), 0x1p-25) {
					t.Fatalf("%s[%d] is %v, of %v", p.Name, i, got[i], w)
				}
			}
		}
	}
}
