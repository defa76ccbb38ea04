package nn_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/vggo/vggo/arch/archtest"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

// BenchmarkLayer times VGG-16's layers with weights one by one, each pass apart, in GFLOP/s counted as direct
// convolution. Layers of one shape are timed once: conv3_2 stands for conv3_3, conv5_1 for all of conv5.
func BenchmarkLayer(b *testing.B) {
	net, err := arch.Builtin("vgg16")
	if err != nil {
		b.Fatal(err)
	}
	placed, err := net.Place(net.Input)
	if err != nil {
		b.Fatal(err)
	}
	seen := map[string]bool{}
	for _, layer := range placed.Layers {
		var algos []nn.Algo
		macs := layer.Out.C * layer.In.C
		switch layer.Op.(type) {
		case arch.Conv:
			algos = nn.Algos()
			macs *= 9 * layer.Out.H * layer.Out.W
		case arch.Linear:
			algos = []nn.Algo{nn.Direct}
		default:
			continue
		}
		if shape := fmt.Sprint(layer.In, layer.Out); seen[shape] {
			continue
		} else {
			seen[shape] = true
		}
		for _, set := range kernel.Sets() {
			if set.Name == "generic" {
				continue // minutes a layer
			}
			for _, algo := range algos {
				for _, batch := range []int{1, 32} {
					for _, pass := range []nn.Pass{nn.ForwardPass, nn.DataPass, nn.WeightsPass} {
						name := fmt.Sprintf("layer=%s/algo=%s/set=%s/batch=%d/pass=%s", layer.Name, algo, set, batch, pass)
						b.Run(name, func(b *testing.B) { benchmarkLayer(b, layer, algo, set, batch, pass, macs) })
					}
				}
			}
		}
	}
}

func benchmarkLayer(b *testing.B, layer arch.Placed, algo nn.Algo, set *kernel.Set, batch int, pass nn.Pass, macs int) {
	// The ReLU before makes the layer an inner one: blocked input, and a data gradient.
	net := &arch.Network{Name: layer.Name, Input: layer.In, Layers: []arch.Layer{{Name: "before", Op: arch.ReLU{}},
		layer.Layer}}
	params := nn.NewParams(archtest.Place(b, net))
	params.Init(nn.He, 1)
	var spent time.Duration
	plan, err := nn.Compile(archtest.Place(b, net), params, nn.Options{
		Batch: batch, Training: pass != nn.ForwardPass, InputGrad: pass != nn.ForwardPass, Set: set.Name, Algo: algo,
		Observe: func(step int, p nn.Pass, took time.Duration) {
			if step == 1 && p == pass {
				spent += took
			}
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer plan.Close()
	x := noise(1, batch, layer.In)
	grad := tensor.New(batch, layer.Out.C, layer.Out.H, layer.Out.W)
	copy(grad.Data, x.Data)
	step := func() {
		if err := plan.Forward(x); err != nil {
			b.Fatal(err)
		}
		if pass != nn.ForwardPass {
			if err := plan.Backward(grad); err != nil {
				b.Fatal(err)
			}
		}
	}
	step()
	spent = 0
	for b.Loop() {
		step()
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N)/1e6, "ms")
	b.ReportMetric(2*float64(macs)*float64(batch)*float64(b.N)/float64(spent.Nanoseconds()), "GFLOP/s")
}

// BenchmarkNetwork times whole steps of VGG-16, in GFLOP/s counted as direct convolution.
func BenchmarkNetwork(b *testing.B) {
	net, err := arch.Builtin("vgg16")
	if err != nil {
		b.Fatal(err)
	}
	for _, set := range kernel.Sets() {
		if set.Name == "generic" {
			continue
		}
		for _, batch := range []int{1, 32} {
			b.Run(fmt.Sprintf("model=vgg16/algo=auto/set=%s/batch=%d/pass=forward", set, batch), func(b *testing.B) {
				report, err := arch.Analyze(net, net.Input, batch)
				if err != nil {
					b.Fatal(err)
				}
				params := nn.NewParams(archtest.Place(b, net))
				params.Init(nn.He, 1)
				plan, err := nn.Compile(archtest.Place(b, net), params, nn.Options{Batch: batch, Set: set.Name})
				if err != nil {
					b.Fatal(err)
				}
				defer plan.Close()
				x := noise(1, batch, net.Input)
				for b.Loop() {
					if err := plan.Forward(x); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(report.Total.FLOPs)*float64(batch)*float64(b.N)/float64(b.Elapsed().Nanoseconds()),
					"GFLOP/s")
			})
		}
	}
}

// BenchmarkUneven tells how evenly cores of different speeds end, as times what their summed speeds allow: the tasks of
// VGG-16's forward pass, each timed by itself on one thread, the shortest of all passes, are dealt out as team.run
// does, the next one to whoever is free first. It runs on a machine that does other things and has no such cores, and
// leaves out what they share: memory, and waking each other up.
func BenchmarkUneven(b *testing.B) {
	net, err := arch.Builtin("vgg16")
	if err != nil {
		b.Fatal(err)
	}
	placed := archtest.Place(b, net)
	params := nn.NewParams(placed)
	params.Init(nn.He, 1)
	for _, batch := range []int{1, 32} {
		for _, cores := range [][]float64{{1, 1}, {1, 0.5}, {1, 0.3}, {1, 1, 1, 1, 0.4, 0.4, 0.4, 0.4}} {
			b.Run(fmt.Sprintf("batch=%d/cores=%v", batch, cores), func(b *testing.B) {
				plan, err := nn.Compile(placed, params, nn.Options{Batch: batch, Threads: 1})
				if err != nil {
					b.Fatal(err)
				}
				defer plan.Close()
				var jobs [][]float64
				var job, task int
				plan.TimeTasks(func() {
					if job++; job > len(jobs) {
						jobs = append(jobs, nil)
					}
					task = 0
				}, func(seconds float64) {
					of := &jobs[job-1]
					if task == len(*of) {
						*of = append(*of, seconds)
					}
					(*of)[task] = min((*of)[task], seconds)
					task++
				})
				x := noise(1, batch, net.Input)
				for b.Loop() {
					job = 0
					if err := plan.Forward(x); err != nil {
						b.Fatal(err)
					}
				}
				took, work, speed := 0.0, 0.0, 0.0
				for _, tasks := range jobs {
					took += dealt(tasks, cores)
					for _, seconds := range tasks {
						work += seconds
					}
				}
				for _, s := range cores {
					speed += s
				}
				b.ReportMetric(took/(work/speed), "times-allowed")
			})
		}
	}
}

// dealt is when cores of such speeds end that take the next task whenever they are free.
func dealt(tasks, speeds []float64) float64 {
	ends := make([]float64, len(speeds))
	for _, seconds := range tasks {
		first := 0
		for core, end := range ends {
			if end < ends[first] {
				first = core
			}
		}
		ends[first] += seconds / speeds[first]
	}
	return slices.Max(ends)
}
