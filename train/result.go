package train

import (
	"math"
	"slices"
	"time"
)

// Result is a finished run.
type Result struct {
	Steps      int
	Stopped    bool    // by the recipe's patience, before all steps were taken
	Seconds    float64 // interruptions left out
	Pictures   int     // to learn from
	Loss       float64 // of the last step; 0 where a checkpoint of an older vggo does not tell it
	Chance     *Chance // not nil where the loss ends above that of guessing
	Validation *Score  // the last one; nil without one
	Best       float64
	BestStep   int
	Test       []Score
	Answers    *Answers // by the recipe's Views, to the test set or what validates; nil without either
	// Summing is how long gradients were on their way to the other ranks, since Run began, and Waited for how much of it
	// the steps had to wait: the rest went on beside the backward pass.
	Summing, Waited time.Duration
}

// Answers are what a finished network says to a data set.
type Answers struct {
	Set   string  // test or validation
	Data  Dataset // its pictures, which Mistakes count
	Score Score
	// Confusion[i][j] counts the pictures of class i that were taken for class j.
	Confusion [][]int
	Mistakes  []Mistake // the surest, first the worst
}

// Mistake is a wrong answer.
type Mistake struct {
	Sample, Label, Answer int
	Probability           float64 // of the answer
}

const (
	keptMistakes = 24   // of all
	maxConfusion = 1000 // classes, for a matrix of 8 MB
)

// newAnswers is nil for a network of more classes than a matrix is kept for.
func newAnswers(set string, data Dataset, classes int) *Answers {
	if classes > maxConfusion {
		return nil
	}
	a := &Answers{Set: set, Data: data, Confusion: make([][]int, classes)}
	for i := range a.Confusion {
		a.Confusion[i] = make([]int, classes)
	}
	return a
}

// see counts one answer in.
func (a *Answers) see(sample, label int, logits []float32) {
	if a == nil {
		return
	}
	answer, sum := 0, 0.0
	for c := range logits {
		if rank(logits, c) == 0 {
			answer = c
		}
	}
	for _, v := range logits {
		sum += math.Exp(float64(v - logits[answer]))
	}
	a.Confusion[label][answer]++
	if answer == label {
		return
	}
	m := Mistake{sample, label, answer, 1 / sum}
	at, _ := slices.BinarySearchFunc(a.Mistakes, m, func(x, y Mistake) int {
		if x.Probability >= y.Probability {
			return -1
		}
		return 1
	})
	a.Mistakes = slices.Insert(a.Mistakes, at, m)
	a.Mistakes = a.Mistakes[:min(len(a.Mistakes), keptMistakes)]
}
