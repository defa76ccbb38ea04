package train

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/weights"
)

const (
	defaultFeatures = 4e9 // bytes
	// worthKeeping is how many operations a byte of features must stand for: a core computes about so many while a disk
	// gives the byte back.
	worthKeeping = 64
)

// keep opens what the frozen layers have made of the run's pictures, or says why nothing is kept.
func (t *Trainer) keep() error {
	if behind := t.frozenBehindNorm(); behind != "" {
		t.report(Report{Notice: fmt.Sprintf("%s, a batch norm, is the first layer that learns: %s and what else is frozen "+
			"behind it is computed in every step; freezing it too saves that", t.learns, behind)})
	}
	if t.frozen == nil || t.options.Folder == "" || t.options.Features < 0 || t.recipe.Epochs <= 1 {
		return nil
	}
	not := func(why string) error {
		t.report(Report{Notice: "what the frozen layers make of pictures is not kept over epochs: " + why})
		return nil
	}
	why := t.augmenter.unrepeatable()
	switch {
	case t.ranks.Size() > 1:
		return not("each process learns from other pictures in each epoch")
	case why != "":
		return not(why)
	}
	out := t.feed.features
	floats, limit := out.C*out.H*out.W, t.options.Features
	report, err := t.frozen.placed.Analyze(1)
	if err != nil {
		return err
	}
	if limit == 0 {
		if limit = defaultFeatures; report.Total.FLOPs < worthKeeping*4*int64(floats) {
			return not("reading it back would take about as long")
		}
	}
	key, err := t.featuresKey()
	if err != nil {
		return err
	}
	t.feed.kept = openFeatures(filepath.Join(t.options.Folder, featuresFolder), key, floats, limit,
		func(epoch, sample int) bool {
			return t.augmenter.flips(randomFor(t.augmenter.seed, epoch, sample), epoch, sample)
		})
	t.feed.kept.chunk = cmp.Or(t.options.chunk, featuresChunk)
	variants := ""
	if t.recipe.Augment.Flip != "" {
		variants = ", mirrored and not,"
	}
	t.report(Report{Notice: fmt.Sprintf("what the frozen layers up to %s make of each picture%s is kept over epochs: %s "+
		"each, at most %s", t.frozen.last(), variants, printable.Bytes(4*int64(floats)), printable.Bytes(limit))})
	t.tell()
	return nil
}

// frozenBehindNorm is a frozen layer behind the first that learns, where that is a batch norm: whoever freezes the
// convolutions may not have thought of it. Empty for none.
func (t *Trainer) frozenBehindNorm() string {
	first, _ := t.placed.Layer(t.learns)
	if _, norm := first.Op.(arch.BatchNorm); !norm {
		return ""
	}
	for _, layer := range t.placed.Layers[first.Index+1:] {
		for _, p := range layer.Params {
			if s := settingsOf(p, &Optimise{}, t.rules); p.Trainable && isWeighted(layer.Op) && s.never() {
				return layer.Name
			}
		}
	}
	return ""
}

// last is the name of the last frozen layer.
func (f *frozen) last() string { return f.placed.Layers[len(f.placed.Layers)-1].Name }

// tell reports the news of what is kept.
func (t *Trainer) tell() {
	for _, news := range t.feed.kept.told() {
		t.report(Report{Notice: news})
	}
}

// featuresKey is the digest of the frozen layers, their weights, how they are computed and how pictures are prepared.
func (t *Trainer) featuresKey() (key featuresKey, err error) {
	var net bytes.Buffer
	if err := t.frozen.placed.Network.EncodeJSON(&net); err != nil {
		return key, err
	}
	how, err := json.Marshal(struct {
		Machine machine
		Batch   int
		Prepare any
	}{t.machine(), t.frozen.plan.Batch, t.augmenter.preprocess.Parts()})
	if err != nil {
		return key, err
	}
	var tensors []weights.Tensor
	for _, layer := range t.frozen.placed.Layers {
		for _, p := range layer.Params {
			tensors = append(tensors, weights.Tensor{Name: p.Name, Shape: p.Shape, Data: t.params.Get(p.Name).Data})
		}
	}
	h := sha256.New()
	if err := weights.Encode(h, tensors, map[string]string{"network": net.String(), "how": string(how)}); err != nil {
		return key, err
	}
	return featuresKey(h.Sum(nil)), nil
}
