package weights

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
)

// The notes under which vggo's own files keep what a list of tensors does not tell.
const (
	StateNote      = "vggo.train.state" // where a training run is, in its checkpoints alone
	NetworkNote    = "vggo.network"     // the network, as arch's JSON description
	PreprocessNote = "vggo.preprocess"  // how pictures become its input: vggo.PreparationTold as JSON
	ClassesNote    = "vggo.classes"     // the classes' names, a JSON array
	SynsetsNote    = "vggo.synsets"     // WordNet's numbers of the classes, a JSON array as long; "" where there is none
	// RecipeNote, the name of a vision.Preprocess alone, is what PreprocessNote was until November 2026. Files that have
	// it hold their first layer red first.
	RecipeNote = "vggo.recipe"
)

// noteClasses notes the classes that another library's file names.
func (f *File) noteClasses() {
	for note, list := range map[string][]string{ClassesNote: f.contents.Classes, SynsetsNote: f.contents.Synsets} {
		text, err := json.Marshal(list)
		if len(list) == 0 || err != nil {
			continue
		}
		if f.Metadata == nil {
			f.Metadata = map[string]string{}
		}
		f.Metadata[note] = string(text)
	}
}

// UndescribedError is a file from which its network cannot be told.
type UndescribedError struct {
	Path   string
	Reason string // why, where more is known than that there is nothing; else empty
	Shard  bool   // the file is one shard of several
}

func (e *UndescribedError) Error() string {
	if e.Reason != "" {
		return e.Path + ": " + e.Reason
	}
	return e.Path +
		": nothing in the file tells its network: tensors know nothing of pooling, padding or the pictures' size"
}

// Network returns the network whose weights the file holds, on its own input: the one that it describes (ONNX, Keras
// with its configuration, vggo's own note), the built-in whose parameters it has under a known family's names, with as
// many classes as it has, or the VGG that names and shapes tell. Any other file is an *UndescribedError, one whose
// network cannot be run an *UnreadableError, and one that leaves the size of its pictures open an *OpenSizeError: see
// Resolve.
func (f *File) Network() (*arch.Placement, error) { return f.network(arch.Shape{}) }

// network is Network for pictures of a size where nothing but a VGG's convolutions are told.
func (f *File) network(input arch.Shape) (*arch.Placement, error) {
	if net, err := f.told(); net != nil || err != nil {
		return net, err
	}
	if f.contents.Unknown != "" {
		return nil, &UndescribedError{Path: f.Path, Reason: f.contents.Unknown}
	}
	mine := len(format.Weights(f.list.Tensors))
	// built-ins whose convolutions the file has, and not the rest; and that fit, but so would others
	var bodies, fits []string
	for _, name := range arch.Names() {
		net, err := arch.Builtin(name)
		if err != nil {
			return nil, err
		}
		placed, err := net.Place(net.Input)
		if err != nil {
			continue
		}
		convs, all := countWeights(placed.Layers)
		if mine < convs || mine > all { // nearly all are told apart so, at little cost
			continue
		}
		for n, v := range f.readings(placed.Layers, false) {
			if mine != all {
				break
			}
			candidate, ok := f.withClasses(placed, n, v)
			if ok && n.OwnHead && readsPixel(placed.Layers) {
				fits = append(fits, name)
				break
			}
			if ok {
				return candidate, nil
			}
		}
		if f.hasBody(placed.Layers) {
			bodies = append(bodies, name)
		}
	}
	if shardName.MatchString(f.Path) {
		return nil, &UndescribedError{Path: f.Path, Reason: oneShard, Shard: true}
	}
	if fits != nil {
		reason := fmt.Sprintf("it has the parameters of %s, but so has a network of larger pictures that averages their "+
			"last map", strings.Join(fits, ", "))
		return nil, &UndescribedError{Path: f.Path, Reason: reason}
	}
	if net, err := f.infer(input); net != nil || err != nil {
		return net, err
	}
	if bodies != nil {
		reason := fmt.Sprintf("it has the convolutions of %s, and no fully connected layers that tell which",
			strings.Join(bodies, ", "))
		return nil, &UndescribedError{Path: f.Path, Reason: reason}
	}
	return nil, &UndescribedError{Path: f.Path}
}

// countWeights counts a network's arrays of weights: of convolutions, and of all layers.
func countWeights(placed []arch.Placed) (convs, all int) {
	for _, layer := range placed {
		switch layer.Op.(type) {
		case arch.Conv:
			convs++
			all++
		case arch.Linear:
			all++
		}
	}
	return convs, all
}

// readsPixel reports whether the fully connected layers read a map of one pixel, so that their shapes do not tell the
// pictures' size.
func readsPixel(placed []arch.Placed) bool {
	body, _ := bodyOf(placed)
	return body != nil && body[len(body)-1].Out.H*body[len(body)-1].Out.W == 1
}

// hasBody reports whether the file has the layers of a network before its first fully connected one.
func (f *File) hasBody(placed []arch.Placed) bool {
	body, linears := bodyOf(placed)
	if len(linears) == 0 {
		return false
	}
	names := map[string]bool{}
	for _, layer := range body {
		names[layer.Name] = true
	}
	m := newSearch(f, placed, Layers{Wanted: func(layer string) bool { return names[layer] }}).matched
	return m != nil && !m.Guess
}

// namings are the known families' of a network, and the file's own.
func (f *File) namings(placed []arch.Placed) []format.Naming {
	list := namings(placed)
	if f.contents.HWIO {
		list = slices.DeleteFunc(list, func(n format.Naming) bool { return n.Family != article })
	}
	if f.contents.Naming != nil {
		list = append(list, f.contents.Naming(placed))
	}
	return list
}

// readings are the ways to find a network's parameters by name: known families' namings in every view of the file's
// names, then those that the names suggest.
func (f *File) readings(placed []arch.Placed, part bool) iter.Seq2[format.Naming, view] {
	return func(yield func(format.Naming, view) bool) {
		views, known := f.views(), f.namings(placed)
		for _, v := range views {
			for _, n := range known {
				if !yield(n, v) {
					return
				}
			}
		}
		for _, v := range views {
			for _, n := range f.headed(v, placed, part) {
				if !yield(n, v) {
					return
				}
			}
		}
	}
}

// withClasses gives the network's last linear layer as many outputs as the file has for it, and reports whether the
// file then holds its parameters under this naming.
func (f *File) withClasses(net *arch.Placement, n format.Naming, v view) (*arch.Placement, bool) {
	last := -1
	for i, layer := range net.Layers {
		if _, ok := layer.Op.(arch.Linear); ok {
			last = i
		}
	}
	if last < 0 {
		return nil, false
	}
	linear := net.Layers[last].Op.(arch.Linear)
	src := n.Source[net.Layers[last].Name+"/w"]
	t, ok := f.Info(v[src.Name])
	if !ok || len(t.Shape) < 2 {
		return nil, false
	}
	axis := 0
	if src.Layout.Axes != nil {
		axis = src.Layout.Axes[0]
	}
	if axis >= len(t.Shape) || t.Shape[axis] < 1 {
		return nil, false
	}
	if classes := t.Shape[axis]; classes != linear.Out {
		changed := *net.Network
		changed.Layers = slices.Clone(changed.Layers)
		linear.Out = classes
		changed.Layers[last].Op = linear
		placed, err := changed.Place(net.Input)
		if err != nil {
			return nil, false
		}
		net = placed
	}
	_, _, fault := compare(f, net.Layers, n, v, Layers{})
	return net, fault == nil
}
