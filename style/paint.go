package style

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/machine"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
)

// Init is what a painting begins with.
type Init string

const (
	FromContent Init = "content"
	FromNoise   Init = "noise" // normal, round the middle grey
	FromStyle   Init = "style" // the first style's picture, scaled
)

// Optimiser is the rule by which a picture follows its gradient.
type Optimiser string

const (
	LBFGS Optimiser = "lbfgs" // the paper's, with a line search: a loss never rises
	Adam  Optimiser = "adam"  // Kingma & Ba 2015, at a rate of 0.02 of white: less memory, more iterations
)

// History is how many iterations L-BFGS remembers, each with two pictures in float32.
const History = 100

// Job is a picture to paint. Content or Styles may be missing: a texture, or what a layer has kept of a content.
type Job struct {
	Content *vision.Picture
	Styles  []*vision.Picture
	Shares  []float64   // of the styles, which need not sum to 1; nil: equal ones
	Size    image.Point // of the painting, to which the content is scaled. Styles are taken as large as they are
	// Ratio is the paper's α/β: how much a content's loss counts beside a style's. 0: the paper's 1e-3 for weights of
	// its authors, and for others what comes to the same balance.
	Ratio      float64
	TV         float64 // weight of Σ (differences between neighbouring samples)², white being 255
	Init       Init
	Seed       uint64 // of noise
	Optimiser  Optimiser
	Iterations int
	Colours    bool // paint luminance alone, and keep the content's colours (Gatys et al. 2016, arXiv 1606.05897)
}

// Losses are the parts of a loss, not weighted, and their weighted sum: Content + Style/Ratio + TV.
type Losses struct {
	Content float64 `json:"content"`
	Style   float64 `json:"style"` // mean over the layers
	TV      float64 `json:"tv"`
	Total   float64 `json:"total"`
}

// Progress is what an iteration came to; iteration 0 is the picture that a painting begins with.
type Progress struct {
	Iteration   int
	Evaluations int     // so far
	Ratio       float64 // Job's, or what was taken for it
	Losses
	// Picture makes the picture so far.
	Picture func() *vision.Picture
}

// check refuses what is no job.
func (j *Job) check() error {
	switch {
	case j.Content == nil && len(j.Styles) == 0:
		return errNothing
	case j.Size.X < 1 || j.Size.Y < 1:
		return fmt.Errorf("a painting of %dx%d pixels is empty", j.Size.Y, j.Size.X)
	case j.Shares != nil && len(j.Shares) != len(j.Styles):
		return fmt.Errorf("%d weights for %d styles", len(j.Shares), len(j.Styles))
	case slices.ContainsFunc(j.Shares, func(s float64) bool { return !(s > 0 && s < math.Inf(1)) }):
		return fmt.Errorf("a style's weight must be above 0: %v", j.Shares)
	case !(j.Ratio >= 0 && j.Ratio < math.Inf(1)):
		return fmt.Errorf("the ratio of content to style must be at least 0, not %v", j.Ratio)
	case !(j.TV >= 0 && j.TV < math.Inf(1)):
		return fmt.Errorf("the weight of total variation must be at least 0, not %v", j.TV)
	case j.Iterations < 1:
		return fmt.Errorf("a painting takes at least 1 iteration, not %d", j.Iterations)
	case j.Optimiser != LBFGS && j.Optimiser != Adam:
		return fmt.Errorf("unknown optimiser %q: want lbfgs or adam", j.Optimiser)
	case j.Init == FromContent && j.Content == nil, j.Init == FromStyle && len(j.Styles) == 0:
		return fmt.Errorf("the painting cannot begin with the %s: there is none", j.Init)
	case j.Init != FromContent && j.Init != FromStyle && j.Init != FromNoise:
		return fmt.Errorf("unknown beginning %q: want content, noise or style", j.Init)
	case j.Colours && j.Content == nil:
		return errors.New("there is no content whose colours could be kept")
	}
	return nil
}

// layers are those that a job looks at.
func (p *Painter) layers(j *Job) (layers []string) {
	if j.Content != nil {
		layers = append(layers, p.Content)
	}
	if len(j.Styles) > 0 {
		layers = append(layers, p.Style...)
	}
	return layers
}

// canvas is what a job is painted on.
func (p *Painter) canvas(size image.Point, layers []string, gradient bool) (*canvas, error) {
	placed, err := p.until(layers)
	if err != nil {
		return nil, err
	}
	return newCanvas(p.model, placed, layers, size, p.algo, gradient)
}

// Memory is about how many bytes a job takes at once beside the model's. Where the system has less it is an
// *nn.MemoryError.
func (p *Painter) Memory(j *Job) (int64, error) {
	if err := j.check(); err != nil {
		return 0, err
	}
	layers := p.layers(j)
	c, err := p.canvas(j.Size, layers, true)
	if err != nil {
		return 0, err
	}
	bytes, err := p.model.TapMemory(c.taps)
	if err != nil {
		return 0, err
	}
	vectors := 16 // of places, gradients and the moments of Adam
	if j.Optimiser == LBFGS {
		vectors += 2 * min(j.Iterations, History)
	}
	bytes += 4 * 3 * int64(j.Size.X) * int64(j.Size.Y) * int64(vectors)
	for _, layer := range layers {
		l, _ := c.taps.Placed.Layer(layer)
		if j.Content != nil && layer == p.Content {
			bytes += 4 * int64(l.Out.C) * int64(l.Out.H) * int64(l.Out.W)
		}
		bytes += 2 * 8 * int64(l.Out.C) * int64(l.Out.C)
	}
	if available := machine.AvailableMemory(); available > 0 && bytes > available {
		return bytes, &nn.MemoryError{Network: p.model.Network.Name, Training: true, Batch: 1, Need: bytes,
			Available: available}
	}
	return bytes, nil
}

// Paint paints a job. After each iteration it calls each, if that is not nil, whose error ends it. Where it ends early,
// by that, by ctx or by a *NaNError, the picture of the last good iteration comes with the error, if there is one yet.
func (p *Painter) Paint(ctx context.Context, job Job, each func(Progress) error) (*vision.Picture, error) {
	if err := job.check(); err != nil {
		return nil, err
	}
	s, err := p.prepare(ctx, &job)
	if err != nil {
		return nil, err
	}
	if each == nil {
		each = func(Progress) error { return nil }
	}
	s.each = each
	switch job.Optimiser {
	case Adam:
		err = s.adam(ctx)
	default:
		err = s.lbfgs(ctx)
	}
	if s.good == nil {
		return nil, err
	}
	return s.finish(s.good), err
}

// studio is a job on its way.
type studio struct {
	*canvas
	job     *Job
	targets []target
	first   samples
	content *samples // whose colours are kept; else nil
	each    func(Progress) error

	evaluations int
	seen        []Losses // of the evaluations of this iteration
	good        []float64
}

// prepare looks at what is wanted.
func (p *Painter) prepare(ctx context.Context, j *Job) (*studio, error) {
	s := &studio{job: j}
	var err error
	var content samples
	if j.Content != nil {
		content = samplesOf(j.Content.RGB().Resize(j.Size.X, j.Size.Y, vision.Bilinear))
	}
	var styles []samples
	for _, style := range j.Styles {
		styles = append(styles, samplesOf(style.RGB()))
	}
	if j.Colours {
		coloured, grey := content, content.grey()
		s.content = &coloured
		for i := range styles {
			styles[i] = styles[i].grey().like(grey)
		}
		content = grey
	}
	if j.Content != nil {
		wants, err := p.look(ctx, j, content, []string{p.Content}, func(_ worker, m nn.Map) any {
			return slices.Clone(m.Image(0))
		})
		if err != nil {
			return nil, fmt.Errorf("the content: %w", err)
		}
		s.targets = append(s.targets, target{p.Content, 1, &contentTerm{wants[0].([]float32)}})
	}
	if len(styles) > 0 {
		grams, err := p.grams(ctx, j, styles)
		if err != nil {
			return nil, err
		}
		if j.Ratio == 0 {
			j.Ratio = p.usualRatio(s.targets, grams)
		}
		for i, layer := range p.Style {
			s.targets = append(s.targets, target{layer, 1 / (j.Ratio * float64(len(p.Style))), &gramTerm{want: grams[i]}})
		}
	}
	if s.canvas, err = p.canvas(j.Size, p.layers(j), true); err != nil {
		return nil, err
	}
	switch j.Init {
	case FromContent:
		s.first = content
	case FromStyle:
		s.first = samplesOf(styles[0].picture().Resize(j.Size.X, j.Size.Y, vision.Bilinear))
	default:
		s.first = noise(j.Size, 3, j.Seed)
	}
	return s, nil
}

// usualRatio is 1e-3 for weights whose activations are those of the paper's authors. With activations q times as large
// in the mean square a content's loss is q times as large, and a style's q². For other weights the ratio keeps the
// balance that 1e-3 has with the authors' VGG-19 on photographs: there 1e-3·q_content/mean(q_style²) is 5e-8, within
// a factor of 2.
func (p *Painter) usualRatio(content []target, grams [][]float64) float64 {
	const ratio, balance = 1e-3, 5e-8
	recipe := p.model.Preprocess.Preprocess
	if authors := recipe.Scale == 1 && recipe.Std[0] == 1; authors || len(content) == 0 {
		return ratio
	}
	want := content[0].term.(*contentTerm).want
	q, squares := 0.0, 0.0
	for _, v := range want {
		q += float64(v) * float64(v) / float64(len(want))
	}
	for _, g := range grams {
		trace, width := 0.0, int(math.Sqrt(float64(len(g))))
		for i := range width {
			trace += g[i*width+i] / float64(width)
		}
		squares += trace * trace / float64(len(grams))
	}
	if !(q > 0 && squares > 0) {
		return ratio
	}
	return balance * squares / q
}

// noise is normal, independent samples round the middle grey.
func noise(size image.Point, channels int, seed uint64) samples {
	const deviation = 0.1
	s := samples{size, make([]float64, channels*size.X*size.Y)}
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range s.data {
		s.data[i] = 0.5 + float64(deviation*r.NormFloat64())
	}
	return s
}

// look takes samples through the network up to the deepest of some layers, and takes of each what is wanted.
func (p *Painter) look(ctx context.Context, j *Job, s samples, layers []string, take func(worker, nn.Map) any) (
	taken []any, err error) {
	c, err := p.canvas(s.Point, layers, false)
	if err != nil {
		return nil, err
	}
	err = c.see(ctx, s, func(plan *nn.Plan) error {
		for _, layer := range layers {
			m, err := plan.Tap(layer)
			if err != nil {
				return err
			}
			taken = append(taken, take(c.worker, m))
		}
		return nil
	})
	return taken, err
}

// grams are by style layer the mean of the styles' Gram matrices, by their shares: its loss has the gradient of the
// mean of their losses.
func (p *Painter) grams(ctx context.Context, j *Job, styles []samples) ([][]float64, error) {
	shares := slices.Repeat([]float64{1}, len(styles))
	if j.Shares != nil {
		shares = j.Shares
	}
	sum := 0.0
	for _, share := range shares {
		sum += share
	}
	grams := make([][]float64, len(p.Style))
	for n, style := range styles {
		taken, err := p.look(ctx, j, style, p.Style, func(w worker, m nn.Map) any { return w.gram(m) })
		if err != nil {
			return nil, fmt.Errorf("style %d: %w", n+1, err)
		}
		for i, g := range taken {
			if n == 0 {
				grams[i] = make([]float64, len(g.([]float64)))
			}
			for at, v := range g.([]float64) {
				grams[i][at] += shares[n] / sum * v
			}
		}
	}
	return grams, nil
}

// at is the loss of a picture and its gradient.
func (s *studio) at(ctx context.Context, x []float64) (Losses, []float32, error) {
	parts, gradient, err := s.evaluate(ctx, samples{s.job.Size, x}, s.targets)
	if err != nil {
		return Losses{}, nil, err
	}
	s.evaluations++
	var l Losses
	for i, t := range s.targets {
		l.Total += t.weight * parts[i]
		if _, ok := t.term.(*contentTerm); ok {
			l.Content = parts[i]
		} else {
			l.Style += parts[i] * t.weight * s.job.Ratio
		}
	}
	if s.job.TV > 0 {
		l.TV = s.variation(x, gradient)
		l.Total += s.job.TV * l.TV
	}
	s.seen = append(s.seen, l)
	return l, gradient, nil
}

// advance takes over a good picture and tells of it.
func (s *studio) advance(iteration int, x []float64, l Losses) error {
	s.good, s.seen = x, s.seen[:0]
	return s.each(Progress{iteration, s.evaluations, s.job.Ratio, l, func() *vision.Picture { return s.finish(x) }})
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// lbfgs paints by L-BFGS.
func (s *studio) lbfgs(ctx context.Context) error {
	l := lbfgs[float32]{history: History, threads: s.threads, at: func(x []float64) (float64, []float32, error) {
		parts, gradient, err := s.at(ctx, x)
		return parts.Total, gradient, err
	}}
	for i := range s.job.Iterations + 1 {
		var err error
		done := false
		if i == 0 {
			err = l.begin(s.first.data)
		} else {
			done, err = l.iterate()
		}
		l.threads = s.threads // which the first evaluation tells
		switch lost := slices.ContainsFunc(s.seen, func(l Losses) bool { return !finite(l.Total) }); {
		case err != nil:
			return err
		case lost && (done || i == 0):
			return &NaNError{i}
		case done:
			return nil
		}
		at := slices.IndexFunc(s.seen, func(seen Losses) bool { return seen.Total == l.now.loss })
		if err := s.advance(i, l.now.x, s.seen[at]); err != nil {
			return err
		}
	}
	return nil
}

// adam paints by Adam, as torch.optim.Adam.
func (s *studio) adam(ctx context.Context) error {
	const rate = 0.02
	x := &nn.Param{Param: arch.Param{Name: "picture", Shape: []int{len(s.first.data)}, Trainable: true},
		Data: make([]float32, len(s.first.data))}
	for i, v := range s.first.data {
		x.Data[i] = float32(v)
	}
	var o *train.Optimiser
	for i := range s.job.Iterations + 1 {
		if i > 0 {
			o.Step(rate, 1, 0)
		}
		place := make([]float64, len(x.Data))
		for i, v := range x.Data {
			place[i] = float64(v)
		}
		l, gradient, err := s.at(ctx, place)
		switch {
		case err != nil:
			return err
		case !finite(l.Total):
			return &NaNError{i}
		}
		if x.Grad = gradient; o == nil {
			o, err = train.NewOptimiser(train.Optimise{Kind: "adamw", Rate: rate, Momentum: 0.9}, nil,
				&nn.Params{List: []*nn.Param{x}}, s.threads)
			if err != nil {
				return err
			}
		}
		if err := s.advance(i, place, l); err != nil {
			return err
		}
	}
	return nil
}

// variation is Σ of squared differences between neighbouring samples (Mahendran & Vedaldi 2015, section 3.2, β = 2),
// whose gradient it adds.
func (s *studio) variation(x []float64, gradient []float32) float64 {
	const white = 255
	sum, w, h := 0.0, s.job.Size.X, s.job.Size.Y
	between := func(a, b int) {
		d := white * (x[a] - x[b])
		sum += float64(d * d)
		gradient[a] += float32(2 * white * s.job.TV * d)
		gradient[b] -= float32(2 * white * s.job.TV * d)
	}
	for at := range x {
		if at%w < w-1 {
			between(at+1, at)
		}
		if at/w%h < h-1 {
			between(at+w, at)
		}
	}
	return sum
}

// finish makes a picture of samples, in the content's colours if these are kept.
func (s *studio) finish(x []float64) *vision.Picture {
	painted := samples{s.job.Size, x}
	if s.content != nil {
		painted = s.content.lit(painted)
	}
	return painted.picture()
}
