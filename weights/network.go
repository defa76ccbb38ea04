package weights

import (
	"slices"

	"github.com/vggo/vggo/arch"
)

// The notes under which vggo's own files keep what a list of tensors does not tell.
const (
	NetworkNote    = "vggo.network"    // the network, as arch's JSON description
	PreprocessNote = "vggo.preprocess" // how pictures become its input: vggo.PreparationTold as JSON
	ClassesNote    = "vggo.classes"    // the classes' names, a JSON array
	// RecipeNote, the name of a vision.Preprocess alone, is what PreprocessNote was until November 2026. Files that have it hold
	// their first layer red first.
	RecipeNote = "vggo.recipe"
)

// described is a network that a file itself holds, and where its parameters are.
type described struct {
	net    *arch.Network
	naming naming
	// prepares: the first layer stands for what the graph does to its pictures, as Matched.Prepares tells
	prepares bool
	unit     bool // and does so with samples of 0 to 1, whatever its figures
}

// UndescribedError is a file from which its network cannot be told.
type UndescribedError struct {
	Path   string
	Reason string // why, where more is known than that there is nothing; else empty
}

func (e *UndescribedError) Error() string {
	if e.Reason != "" {
		return e.Path + ": " + e.Reason
	}
	return e.Path + ": nothing in the file tells its network: tensors know nothing of pooling, padding or the pictures' size"
}

// Network returns the network whose weights the file holds: the one that it describes (ONNX, Keras with its configuration,
// vggo's own note), or the built-in whose parameters it has under a known family's names, with as many classes as it has. Any
// other file is an *UndescribedError, one whose network cannot be run an *UnreadableError, and one that leaves the size of its pictures
// open an *OpenSizeError: see Resolve.
func (f *File) Network() (*arch.Network, error) {
	if f.unreadable != nil {
		return nil, f.unreadable
	}
	if net, err := f.told(); net != nil || err != nil {
		return net, err
	}
	if f.unknown != "" {
		return nil, &UndescribedError{f.Path, f.unknown}
	}
	for _, name := range arch.Names() {
		net, err := arch.Builtin(name)
		if err != nil {
			return nil, err
		}
		for _, n := range f.families(net) {
			if candidate, ok := f.withClasses(net, n); ok {
				return candidate, nil
			}
		}
	}
	return nil, &UndescribedError{Path: f.Path}
}

// families lists the namings of a network.
func (f *File) families(net *arch.Network) []naming {
	placed, err := net.Place(net.Input)
	if err != nil {
		return nil
	}
	return f.namings(placed)
}

// namings are the known families' of a network, and the file's own.
func (f *File) namings(placed []arch.Placed) []naming {
	list := namings(placed)
	if f.named != nil {
		list = append(list, f.named(placed))
	}
	return list
}

// withClasses gives the network's last linear layer as many outputs as the file has for it, and reports whether the file
// then holds its parameters under this naming.
func (f *File) withClasses(net *arch.Network, n naming) (*arch.Network, bool) {
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
	src := n.source[net.Layers[last].Name+"/w"]
	t, ok := f.Info(src.name)
	if !ok || len(t.Shape) < 2 {
		return nil, false
	}
	axis := 0
	if src.layout.axes != nil {
		axis = src.layout.axes[0]
	}
	if axis >= len(t.Shape) || t.Shape[axis] < 1 {
		return nil, false
	}
	classes := t.Shape[axis]
	if classes != linear.Out {
		changed := *net
		changed.Layers = slices.Clone(net.Layers)
		linear.Out = classes
		changed.Layers[last].Op = linear
		net = &changed
	}
	placed, err := net.Place(net.Input)
	if err != nil {
		return nil, false
	}
	_, fault := compare(f, placed, n)
	return net, fault == nil
}
