package train

import (
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/vggo/vggo/internal/parallel"
	"github.com/vggo/vggo/internal/strict"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// What a run must find again when it goes on, beside its checkpoint: classes by the same names, and the same pictures.

// fingerprint tells data sets apart by their labels in order.
func fingerprint(d Dataset) string {
	h := fnv.New64a()
	for i := range d.Len() {
		label := d.Label(i)
		h.Write([]byte{byte(label), byte(label >> 8), byte(label >> 16)})
	}
	return fmt.Sprintf("%d samples, labels %016x", d.Len(), h.Sum64())
}

// looked is how many pictures tell data sets of the same labels apart.
const looked = 16

// pictures tells data sets of the same labels apart by some of their pictures, evenly spread. One that cannot be read
// counts as empty.
func pictures(d Dataset, threads int) string {
	n := min(d.Len(), looked)
	list := make([]*vision.Picture, n)
	parallel.Each(threads, n, func(i int) {
		if p, err := d.Picture(i * d.Len() / n); err == nil {
			list[i] = p
		}
	})
	h := fnv.New64a()
	for _, p := range list {
		if p == nil {
			p = &vision.Picture{}
		}
		fmt.Fprintf(h, "%d %d %d:", p.W, p.H, len(p.Pix))
		h.Write(p.Pix)
	}
	return fmt.Sprintf("pictures %016x", h.Sum64())
}

// sets are the fingerprints of a run's data, as its checkpoints keep them.
type sets struct {
	Data       string `json:"data"`                 // of the training set, less what is held out
	Pictures   string `json:"pictures,omitempty"`   // of it; empty in checkpoints of vggo before this was kept
	Validation string `json:"validation,omitempty"` // likewise; noSet where nothing validates
}

const noSet = "none"

func (t *Trainer) sets() sets {
	s := sets{Data: fingerprint(t.train), Pictures: pictures(t.train, t.threads), Validation: noSet}
	if t.validation != nil {
		s.Validation = fingerprint(t.validation.Dataset) + ", " + pictures(t.validation.Dataset, t.threads)
	}
	return s
}

// OtherDataError is a run that was to go on with other data than it began with.
type OtherDataError struct {
	Path    string // of the checkpoint
	What    string // "training set", "validation set", "classes"
	Was, Is string
}

func (e *OtherDataError) Error() string {
	return fmt.Sprintf("%s: the run's %s was another: %s, now %s", e.Path, e.What, e.Was, e.Is)
}

// sameData is an *OtherDataError if the run did not begin with this data.
func (t *Trainer) sameData(s *Saved, now sets) error {
	if was := s.Classes; was != nil && t.options.Classes != nil {
		if err := SameClasses(s.Path, was, t.options.Classes); err != nil {
			return err
		}
	}
	was := s.state.sets
	for _, set := range []struct{ what, was, now string }{
		{"training set", was.Data, now.Data},
		{"training set", was.Pictures, now.Pictures},
		{"validation set", was.Validation, now.Validation},
	} {
		if set.was != "" && set.was != set.now {
			return &OtherDataError{s.Path, set.what, set.was, set.now}
		}
	}
	return nil
}

// SameClasses is an *OtherDataError that names the first class which is another.
func SameClasses(path string, was, now []string) error {
	if slices.Equal(was, now) {
		return nil
	}
	if len(was) != len(now) {
		return &OtherDataError{path, "number of classes", fmt.Sprint(len(was)), fmt.Sprint(len(now))}
	}
	for c := range was {
		if was[c] != now[c] {
			return &OtherDataError{path, fmt.Sprintf("class %d", c), fmt.Sprintf("%q", was[c]), fmt.Sprintf("%q", now[c])}
		}
	}
	return nil
}

// Unchecked names what a checkpoint of an older vggo does not tell, so that nobody knows whether it is still the same;
// nil where everything was checked.
func (s *Saved) Unchecked() []string {
	switch {
	case s.state.Pictures != "":
		return nil
	case s.Classes == nil:
		return []string{"the classes' names", "the pictures", "the validation set"}
	}
	return []string{"the pictures", "the validation set"}
}

// classesOf reads the names that a checkpoint keeps; nil where it keeps none.
func classesOf(file *weights.File) (names []string, err error) {
	text := file.Metadata[weights.ClassesNote]
	if text == "" {
		return nil, nil
	}
	if err := strict.Unmarshal([]byte(text), &names); err != nil {
		return nil, fmt.Errorf("note %s: %w", weights.ClassesNote, err)
	}
	return names, nil
}
