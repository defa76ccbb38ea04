package page

import (
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/vision"
)

// Visit is one picture's way through a model, kept so that the page can ask about it.
type Visit struct {
	*vggo.Inside
	ID      string // nobody guesses it
	Model   *vggo.Model
	Name    string          // of the model
	Picture *vision.Picture // as the network sees it, before it is normalised
	// Photograph is the same part of the picture with more pixels, for the page to lay maps over.
	Photograph *vision.Picture

	used time.Time // last asked for
}

// Bytes is what the visit takes.
func (v *Visit) Bytes() int64 {
	return v.Inside.Bytes() + int64(len(v.Picture.Pix)) + int64(len(v.Photograph.Pix))
}

// layer finds a layer by its name.
func (v *Visit) layer(name string) (*arch.Placed, error) {
	i, err := find(v.Model.Placed, name)
	if err != nil {
		return nil, err
	}
	return &v.Model.Placed.Layers[i], nil
}

// find is the place of a layer among a network's.
func find(placed *arch.Placement, layer string) (int, error) {
	i := slices.IndexFunc(placed.Layers, func(p arch.Placed) bool { return p.Name == layer })
	if i < 0 {
		_, err := placed.Network.Until(layer)
		return 0, &AskError{err.Error()}
	}
	return i, nil
}

// AskError is a question that has no answer: a layer that does not exist, a cell beyond its map.
type AskError struct{ Fault string }

func (e *AskError) Error() string { return e.Fault }

// Visits are those that were asked for last, up to so many bytes. A new one drives out the oldest.
type Visits struct {
	budget int64

	mu     sync.Mutex
	used   int64
	visits []*Visit // the last used last
}

// NewVisits makes room for so many bytes.
func NewVisits(budget int64) *Visits { return &Visits{budget: budget} }

// Budget is the most bytes that visits take.
func (k *Visits) Budget() int64 { return k.budget }

// Put keeps a visit and gives it an ID. It is an error if there is no room even for it alone.
func (k *Visits) Put(v *Visit) error {
	n := v.Bytes()
	if n > k.budget {
		takes, most := printable.BytesApart(n, k.budget)
		return &AskError{fmt.Sprintf("what %s makes of a picture takes %s, and %s are kept at most", v.Name, takes, most)}
	}
	v.ID, v.used = rand.Text(), time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.used+n > k.budget {
		k.used -= k.visits[0].Bytes()
		k.visits = slices.Delete(k.visits, 0, 1)
	}
	k.used += n
	k.visits = append(k.visits, v)
	return nil
}

// Get finds a visit; nil if it was driven out, or never was.
func (k *Visits) Get(id string) *Visit {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(k.visits, func(v *Visit) bool { return v.ID == id })
	if i < 0 {
		return nil
	}
	v := k.visits[i]
	v.used = time.Now()
	k.visits = append(slices.Delete(k.visits, i, i+1), v)
	return v
}

// Forget drops the visits that nobody has asked for since then, and reports whether there were any.
func (k *Visits) Forget(since time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for n < len(k.visits) && k.visits[n].used.Before(since) {
		k.used -= k.visits[n].Bytes()
		n++
	}
	k.visits = slices.Delete(k.visits, 0, n)
	return n > 0
}

// Used is the bytes that visits take.
func (k *Visits) Used() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.used
}
