package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/weights"
)

// partUsage is --weights-part in words.
const partUsage = "`part` of a file with several networks' weights, by its key, such as model_ema (default: the " +
	"plain ones)"

// weightsJSON is what was taken of a file of weights, for --json.
type weightsJSON struct {
	// of a file with several networks' weights, or the key to its only one
	Part   string   `json:"weights_part,omitempty"`
	Others []string `json:"weights_other_parts,omitempty"` // that were not taken
	Names  string   `json:"weights_names,omitempty"`       // whose names the file uses
	Guess  bool     `json:"weights_guessed,omitempty"`     // they say nothing: parameters were found by order and shapes
}

func weightsTaken(m *root.Model) weightsJSON {
	t := weightsJSON{Part: m.Part, Names: m.Family, Guess: m.Guess}
	for _, other := range m.Others {
		t.Others = append(t.Others, other.Name)
	}
	return t
}

// tellModel says what of a model's file of weights was chosen or guessed, beside the part that was asked for.
func tellModel(w io.Writer, m *root.Model, asked string) {
	tellWeights(w, m.Origin, m.Part, m.Others, m.Guess, asked)
}

// tellWeights says which part of a file was taken where it has several, what in it was not read, and what is a guess.
func tellWeights(w io.Writer, path, part string, others []weights.Part, guess bool, asked string) {
	var left, unread []string
	for _, other := range others {
		if other.Unread == "" {
			left = append(left, fmt.Sprintf("%s (%d tensors)", other.Name, other.Tensors))
		} else {
			unread = append(unread, fmt.Sprintf("%s, %s", other.Name, other.Unread))
		}
	}
	part = cmp.Or(part, "the one under plain names")
	if len(left) > 0 && asked == "" {
		fmt.Fprintf(w, "vggo: %s holds several networks' weights: %s is taken, and not %s; --weights-part takes another\n",
			path, part, firstOf(left))
	}
	if len(unread) > 0 {
		fmt.Fprintf(w, "vggo: %s: not read, beside the weights: %s\n", path, firstOf(unread))
	}
	if guess {
		fmt.Fprintf(w, "vggo: %s: its names say nothing of layers, so the parameters were matched by order and shapes: "+
			"a guess\n", path)
	}
}

// firstOf names the first three of a list.
func firstOf(list []string) string {
	if len(list) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:3], "; "), len(list)-3)
	}
	return strings.Join(list, "; ")
}

// nameOf is a network's name and its number of classes.
func nameOf(net *arch.Network) string {
	placed, err := net.Place(net.Input)
	if err != nil {
		return net.Name
	}
	return fmt.Sprintf("%s of %d classes", net.Name, placed.Classes())
}

// ofRun is where the weights of a training run are, or how they come to be.
func ofRun(folder string) string {
	for _, name := range []string{train.BestFile, train.ModelFile} {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err == nil {
			return path + " has the run's weights"
		}
	}
	return fmt.Sprintf("vggo train --resume %s goes on, and leaves the weights as %s", folder,
		filepath.Join(folder, train.BestFile))
}

// hintPart adds the remedy to a part that is not there, and to a network that only another part may fit.
func hintPart(err error) (error, bool) {
	var none *weights.PartError
	var fit *weights.MatchError
	var undescribed *weights.UndescribedError
	switch {
	case errors.As(err, &none) && len(none.Have) > 0:
		return hint(err, "--weights-part "+none.Have[0]), true
	case errors.As(err, &none):
		return hint(err, "leave --weights-part out"), true
	case errors.As(err, &fit) && fit.Split != nil:
		return hint(err, fmt.Sprintf("in Python, %s of each such layer, then torch.save(model.state_dict(), path)",
			fit.Split.Remedy)), true
	case errors.As(err, &fit) && fit.State:
		return hint(err, ofRun(filepath.Dir(fit.Path))), true
	case errors.As(err, &fit) && fit.Under != "":
		return hint(err, "--weights-part "+fit.Under), true
	case errors.As(err, &fit) && len(fit.Others) > 0:
		return hint(err, "--weights-part "+fit.Others[0]+" takes another part; --model must name the network that these "+
			"weights were trained for"), true
	case errors.As(err, &fit) && fit.Shard, errors.As(err, &undescribed) && undescribed.Shard:
		return hint(err, "--weights with the index beside it, which ends in .index.json, or with the folder of both"), true
	case errors.As(err, &fit) && fit.Classes > 0:
		return hint(err, fmt.Sprintf("the file is of %d classes, and so must --model be", fit.Classes)), true
	case errors.As(err, &fit) && fit.Told != nil:
		return hint(err, fmt.Sprintf("without --model the file tells its network: %s", nameOf(fit.Told))), true
	case errors.As(err, &fit) && fit.Family != "" && len(fit.Extra)+len(fit.Misshapen) == 0:
		return hint(err, "weights without a classifier do for vggo features --layer, vggo explain --method maps --layer and "+
			"vggo train --take 'conv*'; else --model must name the network that they were trained for"), true
	}
	return err, false
}
