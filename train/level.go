package train

import (
	"math"
	"runtime"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

// levelled is how many pictures tell what a layer's outputs are like.
const levelled = 16

// leastLevelled is how many do where memory is bounded: fewer tell little of a fully connected layer.
const leastLevelled = 4

// levelledLogits is the deviation of the last layer's outputs: guesses begin nearly equal, and the loss at that of
// guessing.
const levelledLogits = 0.1

// level scales the first weights of each convolution and fully connected layer so that its outputs deviate by 1 over
// some pictures, and sets its biases so that each channel's mean is 0 (Mishkin & Matas 2016; Krähenbühl et al. 2016).
// He's start keeps the size of what passes through a network but not what tells two pictures apart: behind ReLUs, means
// of one sign add up from layer to layer, until all pictures look alike and the first hundred steps learn nothing.
// Layers before a batch norm, which does the same for each batch, stay as they are, and so do those whose values come
// from a file.
func (t *Trainer) level(given func(layer string) bool) error {
	stretches, err := t.stretches()
	if err != nil {
		return err
	}
	pictures, err := t.levelPictures(stretches)
	if err != nil {
		return err
	}
	maps, err := t.some(pictures)
	if err != nil {
		return err
	}
	last := len(stretches) - 1
	for last >= 0 && !isWeighted(stretches[last].Op) {
		last--
	}
	for n, s := range stretches[:last+1] {
		if s.placed != nil {
			if maps, err = t.pass(s.placed, maps); err != nil {
				return err
			}
			runtime.GC() // the plan is garbage, and Go would let as much pile up as the whole run takes
		}
		change := !s.norm && !normed(t.placed.Layers[s.Index+1:]) && !given(s.Name)
		if !s.norm && !change {
			continue
		}
		mean, deviation := 0.0, 1.0
		if n == last {
			deviation = levelledLogits
			// A ReLU behind it would silence half of the classes.
			if i := s.Index + 1; i < len(t.placed.Layers) && isReLU(t.placed.Layers[i].Op) {
				mean = 1
			}
		}
		t.flatten(s.Placed, maps, mean, deviation, change)
	}
	return nil
}

// stretch is layers that pictures pass at once: up to and with a layer with weights, or up to a batch norm.
type stretch struct {
	arch.Placed                 // that layer
	norm        bool            // it is a batch norm, whose statistics are not known before there is training
	placed      *arch.Placement // nil where there is no layer before the batch norm
}

// stretches are those up to the last layer with weights or batch norm.
func (t *Trainer) stretches() ([]stretch, error) {
	var list []stretch
	from := 0
	for i, layer := range t.placed.Layers {
		_, norm := layer.Op.(arch.BatchNorm)
		if !norm && !isWeighted(layer.Op) {
			continue
		}
		to := i + 1
		if norm {
			to = i // its outputs are level without it
		}
		s := stretch{Placed: layer, norm: norm}
		if to > from {
			net := *t.net
			net.Input, net.Layers = t.placed.Layers[from].In, t.net.Layers[from:to]
			var err error
			if s.placed, err = net.Place(net.Input); err != nil {
				return nil, err
			}
		}
		list, from = append(list, s), i+1
	}
	return list, nil
}

// levelPictures is how many pictures fit into the budget beside the training plan, leastLevelled at least and levelled
// at most.
func (t *Trainer) levelPictures(stretches []stretch) (int, error) {
	if t.options.Budget <= 0 {
		return levelled, nil
	}
	taken := t.memory()
	for n := levelled; ; n /= 2 {
		need, err := t.levelMemory(stretches, n)
		if err != nil || taken+need <= t.options.Budget {
			return n, err
		}
		if n == leastLevelled {
			return 0, &nn.MemoryError{Network: t.net.Name, Training: true, Batch: t.plan.Batch, Need: taken + need,
				Available: t.options.Budget, Budget: true}
		}
	}
}

// levelMemory is the bytes that level takes beside the parameters: the largest stretch's plan, its input and its
// output.
func (t *Trainer) levelMemory(stretches []stretch, pictures int) (most int64, err error) {
	for _, s := range stretches {
		if s.placed == nil {
			continue
		}
		memory, _, err := nn.Predict(s.placed, t.levelOptions(pictures))
		if err != nil {
			return 0, err
		}
		in, out := s.placed.Input, s.placed.Output()
		maps := 4 * int64(pictures) * int64(in.C*in.H*in.W+out.C*out.H*out.W)
		most = max(most, memory.Total()-memory.Weights+maps)
	}
	return most, nil
}

func (t *Trainer) levelOptions(pictures int) nn.Options {
	return nn.Options{Batch: pictures, Threads: t.threads, Costs: t.options.Costs}
}

// spread is about how far samples of 0 to 1 deviate in photographs.
const spread = 0.25

// firstRate has the first layer learn as if its pictures deviated by about 1. Of pictures of 0 to 255 its weights are
// 64 times smaller and its gradients 64 times larger: at the others' rate it would throw them about. Muon, if the other
// rules leave the layer to it, gives weights and steps their size itself.
func (t *Trainer) firstRate(others []Rule) []Rule {
	of := t.augmenter.preprocess
	for _, layer := range t.placed.Layers {
		if !isWeighted(layer.Op) {
			continue
		}
		deviation := spread * 255 / float64(of.Scale) / float64(slices.Min(of.Std))
		muon := settingsOf(layer.Params[0], &t.recipe.Optimiser, others).muon
		if rate := 1 / (deviation * deviation); rate < 1 && !muon {
			return []Rule{{Params: literal.Replace(layer.Name) + "/w", Rate: &rate}}
		}
		break
	}
	return nil
}

func isWeighted(op arch.Op) bool {
	switch op.(type) {
	case arch.Conv, arch.Linear:
		return true
	}
	return false
}

func isReLU(op arch.Op) bool {
	_, ok := op.(arch.ReLU)
	return ok
}

// normed reports whether batch norm comes before the next layer with weights.
func normed(placed []arch.Placed) bool {
	for _, layer := range placed {
		if _, ok := layer.Op.(arch.BatchNorm); ok {
			return true
		}
		if isWeighted(layer.Op) {
			break
		}
	}
	return false
}

// pass is what layers of the network make of their input.
func (t *Trainer) pass(placed *arch.Placement, in *tensor.Tensor) (*tensor.Tensor, error) {
	plan, err := nn.Compile(placed, t.params, t.levelOptions(in.N))
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	if err := plan.Forward(in); err != nil {
		return nil, err
	}
	out := *plan.Logits()
	out.Data = slices.Clone(out.Data) // the plan ends
	return &out, nil
}

// flatten makes a layer's maps level, and where it may change them the layer's parameters so that they make such maps.
// Products are converted, here and wherever they come into a run's numbers, so that no machine fuses them with the next
// addition: the portable kernels promise the same run everywhere.
func (t *Trainer) flatten(layer arch.Placed, maps *tensor.Tensor, middle, deviation float64, change bool) {
	area := maps.H * maps.W
	means, shift := make([]float64, maps.C), make([]float64, maps.C)
	n := float64(maps.N * area)
	plane := func(image, c int) []float32 { return maps.Data[(image*maps.C+c)*area:][:area] }
	square := 0.0
	for c := range means {
		for image := range maps.N {
			for _, v := range plane(image, c) {
				means[c] += float64(v) / n
			}
		}
		for image := range maps.N {
			for _, v := range plane(image, c) {
				d := float64(v) - means[c]
				square += d * d / n
			}
		}
	}
	scale := 1.0
	if square > 0 {
		scale = deviation / math.Sqrt(square/float64(maps.C))
	}
	for c, mean := range means {
		shift[c] = middle - float64(mean*scale)
		for image := range maps.N {
			values := plane(image, c)
			for i, v := range values {
				values[i] = float32(float64(float64(v)*scale) + shift[c])
			}
		}
	}
	if !change {
		return
	}
	w, b := t.params.Get(layer.Name+"/w"), t.params.Get(layer.Name+"/b")
	for i, v := range w.Data {
		w.Data[i] = float32(float64(v) * scale)
	}
	if b != nil {
		for c, by := range shift {
			b.Data[c] = float32(float64(float64(b.Data[c])*scale) + by)
		}
	}
}

// some are so many pictures of the training set as validation sees them, fewer where they cannot be read.
func (t *Trainer) some(most int) (*tensor.Tensor, error) {
	in := t.net.Input
	all := tensor.New(min(most, t.train.Len()), in.C, in.H, in.W)
	n := 0
	var fault error
	for _, sample := range order(t.train.Len(), t.recipe.Seed, 0) {
		p, err := t.train.Picture(sample)
		if err == nil {
			p, err = t.evaluator.augmenter.prepare(p)
		}
		if err != nil {
			fault = err
			continue // the feed will name it
		}
		t.evaluator.augmenter.put(all.Images(n, n+1).Data, p, 0, sample)
		if n++; n == all.N {
			return all, nil
		}
	}
	if n == 0 {
		return nil, &EmptyError{fault}
	}
	return all.Images(0, n), nil
}
