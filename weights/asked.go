package weights

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
)

// Asked is what whoever opens a file says of its network.
type Asked struct {
	// Network is the one to run with the file's weights; nil: the one that the file tells. It does not overrule a file
	// that describes its network: the two must compute the same.
	Network *arch.Placement
	Input   arch.Shape // of its pictures, where nothing else tells their size; zero: as the network says
	Sigmoid bool       // the outputs are probabilities by a sigmoid, each by itself
}

// OpenSizeError is a file that leaves the size of its pictures open.
type OpenSizeError struct {
	Path     string
	Channels int // of its pictures; 0 where it leaves these open too
}

func (e *OpenSizeError) Error() string {
	return e.Path + ": the file leaves the size of its pictures open"
}

// UnreadableError is a file that describes its network, which vggo cannot run. Another description does not help: it
// would compute something else with these weights.
type UnreadableError struct {
	Path  string
	Err   error
	Input arch.Shape // of the pictures that were asked for, where the file leaves it open: for others it may run
}

func (e *UnreadableError) Error() string {
	if e.Input != (arch.Shape{}) {
		return fmt.Sprintf("%s: for pictures of %v: %v", e.Path, e.Input, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Path, e.Err)
}

func (e *UnreadableError) Unwrap() error { return e.Err }

// Remedied reports whether the error says what to do about it.
func (e *UnreadableError) Remedied() bool { return errors.As(e.Err, new(format.Remedied)) }

// DisagreeError is a network that computes something else than the one that the file describes.
type DisagreeError struct {
	Path       string
	Network    string // its name, or AskedInput or AskedSigmoid where that alone is asked for
	Difference string // the first
}

// What DisagreeError.Network says of something else than a network.
const (
	AskedInput   = "the size asked for"
	AskedSigmoid = "a sigmoid"
)

func (e *DisagreeError) Error() string {
	return fmt.Sprintf("%s describes its network, and %s computes something else: %s", e.Path, e.Network, e.Difference)
}

// Resolve returns the network to run with the file's weights, on the size of pictures that is asked for where the file
// leaves it open. It is the network asked for, by its names, where the file describes none or one that computes the
// same. Errors are *OpenSizeError, *UnreadableError, *DisagreeError and *UndescribedError. It is not to be called
// beside other methods.
func (f *File) Resolve(a Asked) (*arch.Placement, error) {
	asked, size := a.Network, a.Input
	if asked != nil {
		if size == (arch.Shape{}) {
			size = asked.Input
		}
		var err error
		if asked, err = asked.WithInput(size); err != nil {
			return nil, err
		}
	}
	if f.contents.Sized != nil && size != (arch.Shape{}) {
		if err := f.fix(size); err != nil {
			return nil, err
		}
	}
	told, err := f.told()
	if err != nil {
		return nil, err
	}
	net := told
	switch {
	case told != nil && size != (arch.Shape{}) && told.Input != size:
		return nil, &DisagreeError{f.Path, nameOr(asked, AskedInput),
			fmt.Sprintf("it is for pictures of %v, the file's for %v", size, told.Input)}
	case told != nil && asked != nil:
		if net, err = f.agree(told, asked); err != nil {
			return nil, err
		}
	case asked != nil:
		net = asked
	case told == nil:
		if net, err = f.network(size); err != nil {
			return nil, err
		}
		if size != (arch.Shape{}) {
			if net, err = net.WithInput(size); err != nil {
				return nil, err
			}
		}
	}
	if !a.Sigmoid {
		return net, nil
	}
	if told != nil {
		ending, _ := told.Ending()
		if n := told.Output().C; ending == arch.EndsInSoftmax && n > 1 {
			return nil, &DisagreeError{f.Path, AskedSigmoid, fmt.Sprintf("the file has a softmax over its %d outputs", n)}
		}
	}
	return net.WithSigmoid()
}

func nameOr(net *arch.Placement, otherwise string) string {
	if net == nil {
		return otherwise
	}
	return net.Network.Name
}

// fix describes the network of a file that leaves the size of its pictures open, for one.
func (f *File) fix(size arch.Shape) error {
	net, err := f.contents.Sized(size)
	if err != nil {
		err = f.failed(err)
		if unreadable, ok := err.(*UnreadableError); ok {
			unreadable.Input = size
		}
		return err
	}
	f.contents.Sized = nil
	return f.describe(net)
}

// told is the network that the file describes itself, nil where it describes none.
func (f *File) told() (*arch.Placement, error) {
	switch {
	case f.contents.Unrunnable != nil:
		return nil, &UnreadableError{Path: f.Path, Err: f.contents.Unrunnable}
	case f.described != nil:
		return f.described.Placed, nil
	case f.contents.Sized != nil:
		return nil, &OpenSizeError{f.Path, f.contents.Channels}
	}
	return f.noted()
}

// noted is the network of vggo's own note, nil where there is none.
func (f *File) noted() (*arch.Placement, error) {
	f.note.Do(func() {
		text := f.Metadata[NetworkNote]
		if text == "" {
			return
		}
		if f.note.placed, f.note.err = arch.Decode(strings.NewReader(text)); f.note.err != nil {
			f.note.err = fmt.Errorf("%s: note %s: %w", f.Path, NetworkNote, f.note.err)
		}
	})
	return f.note.placed, f.note.err
}

// agree holds the network asked for against the file's own. It is returned with the file's sigmoid where it says
// nothing else of how its outputs are read.
func (f *File) agree(told, asked *arch.Placement) (*arch.Placement, error) {
	differ := func(format string, args ...any) (*arch.Placement, error) {
		return nil, &DisagreeError{f.Path, asked.Network.Name, fmt.Sprintf(format, args...)}
	}
	does, asks := effects(told), effects(asked)
	for i := range max(len(does), len(asks)) {
		switch {
		case i >= len(asks):
			return differ("it lacks the file's %s", does[i].label())
		case i >= len(does):
			return differ("the file has no %s", asks[i].label())
		case does[i].effect != asks[i].effect:
			was, is := does[i].label(), asks[i].label()
			if strings.TrimPrefix(was, does[i].name) == strings.TrimPrefix(is, asks[i].name) {
				was, is = was+" of "+does[i].detail(), is+" of "+asks[i].detail()
			}
			return differ("the file's is %s, where it has %s", was, is)
		}
	}
	outputs := told.Output().C
	ends, _ := told.Ending()
	wants, _ := asked.Ending()
	says := func(e arch.Ending) bool { return e != arch.EndsInLogits && !(e == arch.EndsInSoftmax && outputs == 1) }
	switch {
	case ends == arch.EndsInSigmoid && !says(wants):
		return asked.WithSigmoid()
	case says(ends) && says(wants) && ends != wants:
		return differ("the file ends in %s, it ends in %s", ends, wants)
	}
	return asked, nil
}

// namedEffect is an effect with the layer that has it.
type namedEffect struct {
	effect
	name string
	op   arch.Op
}

func (n namedEffect) label() string { return fmt.Sprintf("%s (%s)", n.name, arch.Describe(n.op)) }

// detail is what Describe leaves out.
func (n namedEffect) detail() string {
	text := fmt.Sprintf("%v to %v", n.in, n.out)
	if g := n.window; g != (arch.Geometry{}) {
		text += fmt.Sprintf(", padded by %d, %d, %d, %d", g.Top, g.Left, g.Bottom, g.Right)
	}
	switch op := n.op.(type) {
	case arch.BatchNorm:
		text += fmt.Sprintf(", epsilon %g", op.Epsilon())
	case arch.LRN:
		text += fmt.Sprintf(", alpha %g, beta %g, k %g", op.Alpha, op.Beta, op.K)
	case arch.AvgPool:
		text += fmt.Sprintf(", padding counted: %t", n.padded)
	}
	return text
}

// toldInOrder gives placed layers with parameters those of the network that the file describes, one after the other,
// whatever they are called. ok is false where there are none or others.
func (f *File) toldInOrder(placed []arch.Placed) (n format.Naming, ok bool) {
	told, err := f.told()
	if err != nil || told == nil {
		return n, false
	}
	if f.described != nil {
		n = f.described.Naming
	} else {
		n = format.Naming{Family: "vggo", Source: plain(ownNames(told.Layers)), Bookkeeping: nothing}
	}
	return renamed(n, told.Layers, placed)
}
