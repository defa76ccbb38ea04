package train_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch/archtest"

	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/train"
)

func TestSchedules(t *testing.T) {
	half := (1 + math.Cos(math.Pi/2)) / 2
	for _, c := range []struct {
		name     string
		schedule train.Schedule
		steps    int
		accuracy []float64 // by epoch, of two steps
		want     []float64
	}{
		{"constant", train.Schedule{Kind: "constant"}, 3, nil, []float64{1, 1, 1}},
		{"warm-up", train.Schedule{Kind: "constant", WarmUp: 2}, 6, nil, []float64{0.25, 0.5, 0.75, 1, 1, 1}},
		{"step", train.Schedule{Kind: "step", At: []float64{1, 1.5}}, 5, nil, []float64{1, 1, 0.1, 0.1 * 0.1, 0.1 * 0.1}},
		{"cosine", train.Schedule{Kind: "cosine", End: 0.2}, 2, nil, []float64{1, 0.2 + 0.8*half}},
		// numpy.interp(numpy.arange(9), [0, 2, 8], [0.2, 1, 0.1]), as airbench has it
		{"one-cycle", train.Schedule{Kind: "one-cycle", Begin: 0.2, Peak: 0.26, End: 0.1}, 8, nil,
			[]float64{0.2, 0.6, 1, 0.85, 0.7, 0.55, 0.4, 0.25}},
		{"plateau", train.Schedule{Kind: "plateau", Patience: 1, Times: 2}, 12, []float64{0.5, 0.6, 0.6, 0.59, 0.5},
			[]float64{1, 1, 1, 1, 1, 1, 0.1, 0.1, 0.1 * 0.1, 0.1 * 0.1, 0.1 * 0.1, 0.1 * 0.1}},
		{"plateau with patience", train.Schedule{Kind: "plateau", Patience: 2, Factor: 0.5, Threshold: 0.05}, 10,
			[]float64{0.5, 0.52, 0.54, 0.8},
			[]float64{1, 1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5}},
	} {
		got := train.Shares(c.schedule, c.steps, 2, c.accuracy...)
		if !slices.EqualFunc(got, c.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-15 }) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if err := train.CheckSchedule(c.schedule); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for want, s := range map[string]train.Schedule{
		`"poly" is none of`:         {Kind: "poly"},
		"step needs the epochs":     {Kind: "step"},
		"at is for step":            {Kind: "cosine", At: []float64{3}},
		"patience of at least 1":    {Kind: "plateau"},
		"must lie in [0, 1]":        {Kind: "one-cycle", Peak: 2},
		"warm_up must be at least ": {Kind: "constant", WarmUp: math.NaN()},
	} {
		if err := train.CheckSchedule(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", s, err, want)
		}
	}
}

func TestAverages(t *testing.T) {
	for _, c := range []struct {
		name          string
		average       train.Average
		values, means []float32
	}{
		// The weight grows by 1 before each step, the mean starts at 0. Lookahead's last step is to the mean.
		{"ema", train.Average{Kind: "ema", Decay: 0.5}, []float32{1, 2, 3, 4}, []float32{0.5, 1.25, 2.125, 3.0625}},
		{"ema, every other", train.Average{Kind: "ema", Decay: 0.5, Every: 2}, []float32{1, 2, 3, 4},
			[]float32{0, 1, 1, 2.5}},
		{"lookahead", train.Average{Kind: "lookahead", Decay: 0.5, Every: 2}, []float32{1, 1, 2, 1}, []float32{0, 1, 1, 1}},
		{"lookahead, growing", train.Average{Kind: "lookahead", Decay: 0.5, Every: 2, Ramp: 1}, []float32{1, 1.5, 2.5, 1.5},
			[]float32{0, 1.5, 1.5, 1.5}},
	} {
		net := network()
		params := nn.NewParams(archtest.Place(t, net))
		values, means := train.Averaged(c.average, params, 4, func(int) { params.List[0].Data[0]++ })
		if !slices.Equal(values, c.values) || !slices.Equal(means, c.means) {
			t.Errorf("%s: weights %v, mean %v; want %v, %v", c.name, values, means, c.values, c.means)
		}
	}
	for want, a := range map[string]train.Average{
		`"swa" is neither`:             {Kind: "swa"},
		"decay must lie in [0, 1)":     {Kind: "ema", Decay: 1},
		"every and ramp must be at le": {Kind: "ema", Every: -1},
	} {
		if err := train.CheckAverage(a); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", a, err, want)
		}
	}
}
