package page

import (
	"math"

	"github.com/vggo/vggo/arch"
)

// Scores are how the network's scores become the probabilities of its answer.
type Scores struct {
	Layer       string      `json:"layer"`  // which makes the scores
	Ending      arch.Ending `json:"ending"` // "softmax" or "sigmoid"
	Temperature float64     `json:"temperature"`
	Max         float64     `json:"max"` // the largest score
	Sum         float64     `json:"sum"` // of the exponentials
	Classes     []Score     `json:"classes"`
}

// Score is one class's: its probability is Exp/Sum of a softmax, 1/(1 + Exp) of a sigmoid.
type Score struct {
	Class       int     `json:"class"`
	Label       string  `json:"label,omitempty"`
	Score       float64 `json:"score"`
	Exp         float64 `json:"exp"` // of a softmax exp((score - max)/temperature), of a sigmoid exp(-score/temperature)
	Probability float64 `json:"probability"`
}

// Scores works the last step out in float64, the classes in the order of their numbers. A temperature above 1 brings
// the probabilities nearer to each other, one below 1 further apart; at 1 they are the answer's. A single output tells
// two classes apart by a sigmoid: the first has its score with the other sign.
func (v *Visit) Scores(temperature float64) (*Scores, error) {
	ending, err := v.Model.Ending()
	if err != nil {
		return nil, err
	}
	if v.Logits.H*v.Logits.W > 1 || ending != arch.EndsInSoftmax && ending != arch.EndsInSigmoid {
		return nil, &AskError{v.Name + " makes its answer of averages over the picture, not of one score for each class"}
	}
	s := &Scores{Layer: v.Groups[len(v.Groups)-1].Layers[0], Ending: ending, Temperature: temperature,
		Classes: make([]Score, v.Model.ClassCount())}
	for class := range s.Classes {
		c := &s.Classes[class]
		c.Class = class
		if v.Model.Classes != nil {
			c.Label = v.Model.Classes[class]
		}
		switch {
		case v.Logits.C == len(s.Classes):
			c.Score = float64(v.Logits.Data[class])
		case class == 0:
			c.Score = -float64(v.Logits.Data[0])
		default:
			c.Score = float64(v.Logits.Data[0])
		}
		if class == 0 || c.Score > s.Max {
			s.Max = c.Score
		}
	}
	for i := range s.Classes {
		c := &s.Classes[i]
		if ending == arch.EndsInSigmoid {
			c.Exp = min(math.Exp(-c.Score/temperature), math.MaxFloat64) // JSON has no infinity
			c.Probability = 1 / (1 + c.Exp)
		} else {
			c.Exp = math.Exp((c.Score - s.Max) / temperature)
		}
		s.Sum += c.Exp
	}
	if ending == arch.EndsInSoftmax {
		for i := range s.Classes {
			s.Classes[i].Probability = s.Classes[i].Exp / s.Sum
		}
	}
	return s, nil
}
