package lesson

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

// Opened is the last step, worked out by the definition in float64: from one picture's scores to the loss, back to the
// gradient of a weight of the last layer and of one of the first, and the step that each takes.
type Opened struct {
	Step     int     `json:"step"`
	Rate     float64 `json:"rate"`
	Loss     float64 `json:"loss"`      // the mean of the step's pictures
	LossHeld float64 `json:"loss_held"` // as the trainer has it
	Labels   []int   `json:"labels"`    // of the step's pictures
	// Picture is the one of them that is told, and Pixels its samples.
	Picture     int       `json:"picture"`
	Pixels      []byte    `json:"pixels"`
	PictureLoss float64   `json:"picture_loss"`
	Scores      []Score   `json:"scores"` // by class
	Last        LastStep  `json:"last"`
	First       FirstStep `json:"first"`
}

// Score is a class of a picture: its score z, p = exp(z)/Σexp(z), y = 1 for the picture's own class and 0 for the
// others, and the gradient of the picture's loss -ln p by z, which is p - y.
type Score struct {
	Z        float64 `json:"z"`
	P        float64 `json:"p"`
	Y        float64 `json:"y"`
	Gradient float64 `json:"gradient"`
	Held     float64 `json:"held"` // nn's, of the mean loss: the gradient divided by the number of pictures
}

// Moved is what a step did to a weight.
type Moved struct {
	Name     string  `json:"name"` // of the parameter: fc4/w
	Gradient float64 `json:"gradient"`
	Held     float64 `json:"held"` // nn's
	Before   float64 `json:"before"`
	After    float64 `json:"after"` // before - rate·gradient
	HeldNow  float64 `json:"held_now"`
}

// LastStep is a weight of the last layer, from a unit before it to a class: by the chain rule ∂L/∂w is the mean
// over the pictures of ∂L/∂z, which is p - y of the class, times ∂z/∂w, which is what the unit holds.
type LastStep struct {
	Moved
	Class int    `json:"class"`
	Unit  int    `json:"unit"`
	From  string `json:"from"` // the layer whose unit it is
	// The unit's channel and place in that layer's maps.
	Channel int    `json:"channel"`
	Y       int    `json:"y"`
	X       int    `json:"x"`
	Terms   []Term `json:"terms"` // by picture
}

// Term is what a picture adds to a gradient: the product of both, before the mean.
type Term struct {
	Gradient float64 `json:"gradient"` // p - y
	Unit     float64 `json:"unit"`
	Product  float64 `json:"product"`
}

// FirstStep is a weight of the first convolution: by the chain rule ∂L/∂w is the sum over the pictures and the
// map's cells of ∂L/∂cell, which has come back through all layers behind it, times the pixel that the weight lies
// on.
type FirstStep struct {
	Moved
	Filter int `json:"filter"`
	Row    int `json:"row"` // of the kernel
	Column int `json:"column"`
	// Share is what the told picture adds, and Back the gradient of its cells, row by row, times the number of pictures:
	// as for its own loss alone.
	Share float64   `json:"share"`
	Back  []float64 `json:"back"`
}

// Choice is what of a step is opened. Class and Unit are of the last layer's weight, Filter, Row and Column of the
// first's.
type Choice struct{ Picture, Class, Unit, Filter, Row, Column int }

// Strongest, as a Class, Unit or Filter, is left to Open: the picture's own class; the unit and the filter that the
// picture moves most.
const Strongest = -1

// ChoiceError is a choice of what there is not.
type ChoiceError struct{ Fault string }

func (e *ChoiceError) Error() string { return e.Fault }

// ErrNoStep is a run that has taken none.
var ErrNoStep = errors.New("no step is taken yet")

// Open works the last step out.
func (r *Run) Open(c Choice) (*Opened, error) {
	if len(r.losses) == 0 {
		return nil, ErrNoStep
	}
	if r.fault != nil {
		return nil, r.fault
	}
	t := r.taken
	if c.Picture < 0 || c.Picture >= t.Images.N {
		return nil, &ChoiceError{fmt.Sprintf("the step has pictures 0 to %d, not %d", t.Images.N-1, c.Picture)}
	}
	o := &Opened{Step: t.Step, Rate: t.Rate, LossHeld: t.Loss, Labels: slices.Clone(t.Labels), Picture: c.Picture}
	scores := make([][]Score, t.Images.N)
	for n := range scores {
		var loss float64
		scores[n], loss = scored(t.Logits.Images(n, n+1).Data, t.Gradient.Images(n, n+1).Data, t.Labels[n])
		o.Loss += loss / float64(len(scores))
		if n == c.Picture {
			o.Scores, o.PictureLoss = scores[n], loss
		}
	}
	of := r.trainer.Preprocess()
	for _, v := range t.Images.Images(c.Picture, c.Picture+1).Data {
		o.Pixels = append(o.Pixels, uint8(math.Round(float64((v*of.Std[0]+of.Mean[0])*of.Scale))))
	}
	var err error
	if o.Last, err = r.last(c, scores); err != nil {
		return nil, err
	}
	o.First, err = r.first(c)
	return o, err
}

// scored is a picture's scores and its loss, -ln p of its class.
func scored(logits, held []float32, label int) (scores []Score, loss float64) {
	top, sum := math.Inf(-1), 0.0
	for _, z := range logits {
		top = math.Max(top, float64(z))
	}
	for _, z := range logits {
		sum += math.Exp(float64(z) - top)
	}
	scores = make([]Score, len(logits))
	for k, z := range logits {
		s := Score{Z: float64(z), P: math.Exp(float64(z)-top) / sum, Held: float64(held[k])}
		if k == label {
			s.Y = 1
		}
		s.Gradient = s.P - s.Y
		scores[k] = s
	}
	return scores, top + math.Log(sum) - float64(logits[label])
}

// moved is what the step did to a weight that had this gradient.
func (r *Run) moved(name string, at int, gradient float64) Moved {
	i := slices.IndexFunc(r.trainer.Params().List, func(p *nn.Param) bool { return p.Name == name })
	p := r.trainer.Params().List[i]
	m := Moved{Name: name, Gradient: gradient, Held: float64(p.Grad[at]), Before: float64(r.before[i][at]),
		HeldNow: float64(p.Data[at])}
	m.After = m.Before - float64(r.taken.Rate*gradient)
	return m
}

// last opens a weight of the last layer.
func (r *Run) last(c Choice, scores [][]Score) (LastStep, error) {
	placed := r.Network().Layers
	i := slices.IndexFunc(placed, func(l arch.Placed) bool { _, is := l.Op.(arch.Linear); return is })
	layer, maps := placed[i], i-1
	for placed[maps].InPlace {
		maps--
	}
	units, err := r.trainer.Plan().Activation(placed[maps].Name)
	if err != nil {
		return LastStep{}, err
	}
	size := units.C * units.H * units.W
	unit := func(n, j int) float64 { return float64(units.Data[n*size+j]) }
	s := LastStep{Class: c.Class, Unit: c.Unit, From: placed[maps].Name}
	if s.Class == Strongest {
		s.Class = r.taken.Labels[c.Picture]
	}
	if s.Unit == Strongest {
		s.Unit = 0
		for j := range size {
			if math.Abs(unit(c.Picture, j)) > math.Abs(unit(c.Picture, s.Unit)) {
				s.Unit = j
			}
		}
	}
	if s.Class < 0 || s.Class >= len(r.Classes) || s.Unit < 0 || s.Unit >= size {
		return s, &ChoiceError{fmt.Sprintf("%s has classes 0 to %d and units 0 to %d", layer.Name, len(r.Classes)-1, size-1)}
	}
	s.Channel, s.Y, s.X = s.Unit/(units.H*units.W), s.Unit/units.W%units.H, s.Unit%units.W
	sum := 0.0
	for n := range scores {
		term := Term{Gradient: scores[n][s.Class].Gradient, Unit: unit(n, s.Unit)}
		term.Product = float64(term.Gradient * term.Unit)
		sum += term.Product
		s.Terms = append(s.Terms, term)
	}
	s.Moved = r.moved(layer.Name+"/w", s.Class*size+s.Unit, sum/float64(len(scores)))
	return s, nil
}

// first opens a weight of the first convolution.
func (r *Run) first(c Choice) (FirstStep, error) {
	s := FirstStep{Filter: c.Filter, Row: c.Row, Column: c.Column}
	conv, relu := r.Network().Layers[0], r.Network().Layers[1]
	maps, err := r.trainer.Plan().Activation(relu.Name)
	if err != nil {
		return s, err
	}
	kernel := conv.Params[0].Shape
	if s.Filter < Strongest || s.Filter >= maps.C || s.Row < 0 || s.Row >= kernel[2] || s.Column < 0 ||
		s.Column >= kernel[3] {
		return s, &ChoiceError{fmt.Sprintf("%s has filters 0 to %d of %d rows and %d columns", conv.Name, maps.C-1, kernel[2],
			kernel[3])}
	}
	back, err := r.back(relu.Name, maps)
	if err != nil {
		return s, err
	}
	for i, v := range maps.Data { // ReLU hands the gradient on where it has let the value through
		if v <= 0 {
			back.Data[i] = 0
		}
	}
	// share is the sum of a picture's gradients times the pixels that the weight is laid on; beyond the edge they are 0.
	share := func(n, filter, row, column int) (sum float64) {
		for y := range maps.H {
			for x := range maps.W {
				py, px := y+row-kernel[2]/2, x+column-kernel[3]/2
				if py < 0 || py >= Side || px < 0 || px >= Side {
					continue
				}
				sum += float64(float64(back.At(n, filter, y, x)) * float64(r.taken.Images.At(n, 0, py, px)))
			}
		}
		return sum
	}
	if s.Filter == Strongest {
		most := -1.0
		for filter := range maps.C {
			if size := math.Abs(share(c.Picture, filter, s.Row, s.Column)); size > most {
				s.Filter, most = filter, size
			}
		}
	}
	gradient := 0.0
	for n := range maps.N {
		gradient += share(n, s.Filter, s.Row, s.Column)
	}
	pictures := float64(maps.N)
	s.Share = share(c.Picture, s.Filter, s.Row, s.Column) * pictures
	for y := range maps.H {
		for x := range maps.W {
			s.Back = append(s.Back, float64(back.At(c.Picture, s.Filter, y, x))*pictures)
		}
	}
	s.Moved = r.moved(conv.Name+"/w", (s.Filter*kernel[2]+s.Row)*kernel[3]+s.Column, gradient)
	return s, nil
}

// back is the gradient of the step's loss by a layer's outputs: that of the images of a plan of the layers behind it,
// with the weights from before the step.
func (r *Run) back(layer string, outputs *tensor.Tensor) (gradient *tensor.Tensor, err error) {
	rest, err := r.Network().After(layer)
	if err != nil {
		return nil, err
	}
	r.exchange()
	defer func() {
		r.exchange()
		err = errors.Join(err, r.trainer.Plan().Refresh())
		r.stale = true
	}()
	plan, err := nn.Compile(rest, r.trainer.Params(), nn.Options{Batch: outputs.N, InputGrad: true, Threads: r.Threads})
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	if err := plan.Refresh(); err != nil { // packed anew: the parameters have changed
		return nil, err
	}
	if err := plan.Forward(outputs); err != nil {
		return nil, err
	}
	if err := plan.Backward(r.taken.Gradient); err != nil {
		return nil, err
	}
	return plan.ImageGrad()
}

// exchange puts the parameters from before the step in the place of those after it, or takes them back.
func (r *Run) exchange() {
	for i, p := range r.trainer.Params().List {
		for j, v := range r.before[i] {
			r.before[i][j], p.Data[j] = p.Data[j], v
		}
	}
}
