package train

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/vggo/vggo/cluster"
	"github.com/vggo/vggo/internal/strict"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/weights"
)

// Several ranks train one network: each computes a share of every batch, the gradients are summed over the ranks, and
// all take the same step. Rank 0 alone writes.

// ranks is a run's place among the processes that train together.
type ranks struct {
	*cluster.Group
	parts  int // of a batch, of all ranks; 0: none
	images int // of one pass, of this rank
	faults int // pictures that cannot be read, of all ranks
	waited time.Duration
}

// maxParts bounds the parts of a batch.
const maxParts = 1 << 16

// checkParts refuses parts that do not make a tree over equal shares of each pass.
func (r Recipe) checkParts() error {
	switch pass := r.Batch / r.accumulate(); {
	case r.Parts < 0 || r.Parts > maxParts || bits.OnesCount(uint(r.Parts)) > 1:
		return fmt.Errorf("recipe: parts must be a power of two up to %d, not %d", maxParts, r.Parts)
	case r.Parts > 0 && pass%r.Parts != 0:
		return fmt.Errorf("recipe: parts: %d pictures of one pass cannot be divided by %d", pass, r.Parts)
	case r.PartNorm && r.Parts == 0:
		return errors.New("recipe: part_norm is for batches in parts")
	}
	return nil
}

// RanksError is a number of ranks that a batch cannot be shared by.
type RanksError struct {
	Ranks, Of int
	What      string // "parts of the recipe", "pictures of one pass"
}

func (e *RanksError) Error() string {
	return fmt.Sprintf("%d ranks cannot share the %d %s: their number must divide it", e.Ranks, e.Of, e.What)
}

// newRanks divides each pass among the ranks.
func newRanks(g *cluster.Group, r Recipe) (ranks, error) {
	n, pass := g.Size(), r.Batch/r.accumulate()
	switch {
	case r.Parts%n != 0:
		return ranks{}, g.Agreed(&RanksError{n, r.Parts, "parts of the recipe"})
	case pass%n != 0:
		return ranks{}, g.Agreed(&RanksError{n, pass, "pictures of one pass"})
	}
	return ranks{Group: g, parts: r.Parts, images: pass / n}, nil
}

// share is the Plan's place in a pass.
func (t *Trainer) share() nn.Share {
	s := nn.Share{First: t.ranks.Rank() * t.ranks.images, Parts: t.ranks.parts / t.ranks.Size(),
		NormParts: t.recipe.PartNorm}
	if t.ranks.Size() > 1 {
		s.Gather = t.ranks.Gather
		s.Ready = t.ready
		if t.ranks.parts == 0 { // by parts the order of sums is another
			s.Plans, s.Collect = t.ranks.Size(), t.collect
		}
	}
	return s
}

// collect gives every rank the values of all, which the backward pass waits for.
func (t *Trainer) collect(mine, all []float32) error {
	begun := time.Now()
	defer func() { t.ranks.waited += time.Since(begun) }()
	return t.ranks.Collect(mine, all)
}

// ready begins to sum a parameter's gradient over the ranks, as soon as the backward pass has made it, unless that was
// made from what all ranks had.
func (t *Trainer) ready(q *nn.Param, whole bool) {
	s := t.slots[q]
	if s == nil {
		return
	}
	if t.addsFirst() {
		if t.accumulate(s); t.passed < t.recipe.accumulate()-1 {
			return
		}
	}
	if !whole {
		t.ranks.Sum(q.Grad)
	}
}

// addsFirst reports whether the gradients of several passes are added up on each rank and summed over the ranks once,
// beside the last backward pass, for less traffic. With parts each pass is summed: the order of all sums is fixed.
func (t *Trainer) addsFirst() bool {
	return t.ranks.Size() > 1 && t.ranks.parts == 0 && t.recipe.accumulate() > 1
}

// settleSums waits for the gradients of all ranks.
func (t *Trainer) settleSums() (err error) {
	if t.ranks.Size() > 1 {
		begun := time.Now()
		t.part(RanksPart, func() { err = t.ranks.Wait() })
		t.ranks.waited += time.Since(begun)
	}
	return err
}

// tree adds up values as the gradients of parts are: those of the smaller half, those of the other, and both sums.
func tree(values []float64) float64 {
	if len(values) == 1 {
		return values[0]
	}
	half := len(values) / 2
	return tree(values[:half]) + tree(values[half:])
}

// learned is what one rank tells the others of its share of a pass.
type learned struct {
	loss          float64 // sum over parts, or over ranks where there are none, of the means
	right, faults int
}

// learnedByAll adds up what the ranks have learned. The loss becomes that of the whole pass.
func (t *Trainer) learnedByAll(mine learned) (learned, error) {
	all, err := t.ranks.Gather([]float64{mine.loss, float64(mine.right), float64(mine.faults)})
	if err != nil {
		return learned{}, err
	}
	var sum learned
	losses := make([]float64, len(all))
	for rank, values := range all {
		losses[rank] = values[0]
		sum.right += int(values[1])
		sum.faults += int(values[2])
	}
	sum.loss = tree(losses) / float64(max(t.ranks.parts, len(all)))
	return sum, nil
}

// countFaults ends a run of which too many pictures cannot be read, by all ranks together.
func (t *Trainer) countFaults(own []fault, all int) error {
	t.ranks.faults += all
	if limit := t.recipe.mayBreak(); t.ranks.Size() > 1 && t.ranks.faults > limit {
		err := errors.New("another rank names it")
		if len(own) > 0 {
			err = own[len(own)-1].err
		}
		return t.ranks.Agreed(&BrokenError{limit, err})
	}
	return nil
}

// errStopped is what a rank stops for that was not told to stop itself.
var errStopped = errors.New("another rank was told to stop")

// interrupted is how all ranks end.
func (t *Trainer) interrupted(ctx context.Context) error {
	return t.ranks.Agreed(&InterruptedError{t.state.Step, t.steps, t.saved, cmp.Or(ctx.Err(), errStopped)})
}

// isStop reports whether an error says no more than that the run, or another rank of it, was told to stop.
func isStop(ctx context.Context, err error) bool {
	return errors.Is(err, errStopped) || ctx.Err() != nil && !errors.As(err, new(*cluster.RankError))
}

// OtherRankError is a rank that would not compute the same as rank 0.
type OtherRankError struct {
	Name    string // "rank 3 on node7"
	What    string // "training set", "build"
	Was, Is string // of rank 0, and of this one
}

func (e *OtherRankError) Error() string {
	return fmt.Sprintf("%s has another %s than rank 0: %s, not %s", e.Name, e.What, e.Is, e.Was)
}

// DriftError is ranks whose weights are no longer the same: a fault of memory or of a processor.
type DriftError struct {
	Step  int
	Name  string // of the rank
	Saved string // the last checkpoint from before; empty where there is none
}

func (e *DriftError) Error() string {
	return fmt.Sprintf("after step %d the weights of %s are not those of rank 0: its memory or processor has erred",
		e.Step, e.Name)
}

// same is an *OtherRankError unless all ranks have the same values.
func (t *Trainer) same(values [][2]string) error {
	text, err := json.Marshal(values)
	if err != nil {
		return err
	}
	texts, err := t.ranks.Texts(string(text))
	if err != nil {
		return err
	}
	var first [][2]string
	for rank, text := range texts {
		var those [][2]string
		if err := strict.Unmarshal([]byte(text), &those); err != nil {
			return err
		}
		if rank == 0 {
			first = those
		}
		for i, v := range those {
			if i < len(first) && v != first[i] {
				return t.ranks.Agreed(&OtherRankError{t.ranks.Name(rank), v[0], first[i][1], v[1]})
			}
		}
		if len(those) != len(first) { // of builds that are told apart no further
			return t.ranks.Agreed(&OtherRankError{t.ranks.Name(rank), "build", fmt.Sprint(len(first)), fmt.Sprint(len(those))})
		}
	}
	return nil
}

// agree has the ranks compare what a run depends on, before there is anything of it.
func (t *Trainer) agree() error {
	if t.ranks.Size() == 1 {
		return nil
	}
	var recipe, net bytes.Buffer
	if err := t.recipe.Write(&recipe); err != nil {
		return err
	}
	if err := t.net.EncodeJSON(&net); err != nil {
		return err
	}
	begin, err := t.weightsSum(slices.Concat(paramTensors(t.params), t.optimiser.tensors(), t.average.tensors()))
	if err != nil {
		return err
	}
	m := t.machine()
	choices, err := json.Marshal(m.Choices)
	if err != nil {
		return err
	}
	sets := t.state.sets
	test := noSet
	if t.test != nil {
		test = fingerprint(t.test.Dataset)
	}
	return t.same([][2]string{ // what others follow from comes first
		{"build", cmp.Or(t.options.Build, "unknown")}, {"kernel set", m.Kernel},
		{"training set", sets.Data + ", " + sets.Pictures}, {"validation set", sets.Validation}, {"test set", test},
		{"list of classes", short(strings.Join(t.options.Classes, "\n"))}, {"recipe", short(recipe.String())},
		{"network", short(net.String())}, {"choice of algorithms", short(string(choices))},
		{"step", fmt.Sprint(t.state.Step)}, {"set of weights", begin},
	})
}

// short stands for a text that is too long to be shown.
func short(text string) string {
	return fmt.Sprintf("crc32c %08x", crc32.Checksum([]byte(text), castagnoli))
}

func (t *Trainer) weightsSum(tensors []weights.Tensor) (string, error) {
	h := crc32.New(castagnoli)
	if err := weights.Encode(h, tensors, nil); err != nil {
		return "", err
	}
	return sumText(h), nil
}

// compareEvery is after how many steps the ranks compare their weights. They do so before each checkpoint too: what is
// saved is what all have.
const compareEvery = 100

// compare is a *DriftError if the ranks' weights have drifted apart.
func (t *Trainer) compare() error {
	if t.ranks.Size() == 1 {
		return nil
	}
	sum, err := t.weightsSum(paramTensors(t.params))
	if err != nil {
		return err
	}
	err = t.same([][2]string{{"set of weights", sum}})
	var other *OtherRankError
	if errors.As(err, &other) {
		return t.ranks.Agreed(&DriftError{t.state.Step, other.Name, t.saved})
	}
	return err
}
