// Package format is what package weights and the readers of foreign formats agree on. Each reader is a package of its
// own beside this one and has one Reader; package weights lists these, asks each in turn whether it knows a file, and
// does the rest itself: it picks one of several networks in a file, finds a network's parameters under the file's
// names, brings their values into our order, and says what is wrong with a file under its path.
//
// A file is hostile until read. A reader promises that
//
//   - it runs nothing that a file holds, and opens no other file but by Input.Beside;
//   - it takes memory in proportion to the file's size alone: every count, size and depth is checked against the file's
//     bytes, or a limit that is stated where it is declared, before anything of that size is made or walked;
//   - it comes to an end, also where parts of a file point at each other in a circle;
//   - values that lie in the file as one run of little-endian numbers in row-major order are Tensor.Raw, a part of
//     Input.Data, so that they stay mapped; others are made by Tensor.Fetch when they are asked for, and never in Read;
//   - whatever it does not know it refuses by a *Error that names the thing and, where there is one, a remedy. It never
//     guesses what values mean: layouts and orders are those that the format or the library that writes it fixes.
package format

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/vggo/vggo/arch"
)

// Reader reads one kind of file. Knows looks at the first bytes, at the names of an archive's members or, for formats
// with nothing else, at the file's name; it is quick and must not claim another reader's files. Read's errors are
// *Error, or others that say what is wrong and not with which file: package weights puts the path before them.
type Reader struct {
	Name  string // "MatConvNet", as it is shown
	Knows func(in *Input) bool
	Read  func(in *Input) (*Contents, error)
}

// Description reads a network's description without weights, of at most 1 MiB, in another library's format.
type Description struct {
	Knows func(data []byte) bool
	Read  func(data []byte) (*arch.Placement, error)
}

// Input is a file as a reader gets it.
type Input struct {
	Name    string            // the file's own, without its folder: some formats have nothing else to be known by
	Data    []byte            // the whole file, mapped; never empty
	Members map[string]Member // of a zip archive; nil for any other file
	Part    string            // the one that was asked for of a file with several networks; mostly empty
	// Beside maps another file of the same folder, under a path within it. An error of fs.ErrNotExist: there is none, or
	// these are bytes without a folder.
	Beside func(name string) ([]byte, error)
}

// Contents is what a reader found.
type Contents struct {
	Format   string            // in place of Reader.Name, where a reader knows several libraries' files
	Metadata map[string]string // the file's own notes
	Tensors  []Tensor          // of a file of one network's weights, in the order of their data
	Parts    []Part            // of a file that may hold several, in place of Tensors
	Pictures *Pictures         // nil: the file says nothing of its pictures
	Classes  []string          // of the outputs, where the file names them
	Synsets  []string          // WordNet's numbers of them, as many

	// A file that describes its network has one of the first three, one that does not none of them. Of one whose
	// pictures' size follows from its layers, which more than one may fit, the first two are there.
	Network    *Network                                 // whole
	Sized      func(input arch.Shape) (*Network, error) // but for the size of its pictures
	Unrunnable error                                    // which vggo cannot run: why
	Channels   int                                      // of the pictures of Sized; 0 where these are open too
	Unknown    string                                   // what is known of a network that is not described; mostly empty

	// HWIO: weights lie as TensorFlow has them, rows, columns, in, out, whatever their names say.
	HWIO bool

	// Naming gives the parameters of any network's layers those of the file by an order of layers that the file keeps;
	// nil where it keeps none, or names alone.
	Naming func(placed []arch.Placed) Naming
}

// Network is a network that a file describes, under the file's names, and where the file has its parameters.
type Network struct {
	Network *arch.Network
	Placed  *arch.Placement // Network on its input; nil where the reader had no need of it
	Naming  Naming
	Derived []Tensor // made of the file's tensors, for Naming
	// Prepares: the first layer stands for what the file's network does to its pictures before anything else.
	Prepares bool
	Unit     bool // and it does so with samples of 0 to 1, whatever its figures
}

// Part is one network's weights in a file that may hold several.
type Part struct {
	Name    string // the keys to it, with dots between them; may be empty
	Tensors []Tensor
	Single  bool   // a tensor beside networks: a figure of the training
	Unread  string // why it cannot be taken, where it cannot; Count then says how many tensors it has
	Count   int

	// What Contents has, of a part that is described apart from the others.
	Unrunnable error
	Unknown    string
}

// Pictures is what a file states of how pictures become its network's input: (sample - Mean) / Std for each channel in
// the order of the network's input, samples going to 255 where Bytes is set and to 1 where not.
type Pictures struct {
	Mean, Std []float32 // Std nil: 1
	Bytes     bool
	Order     string // "RGB" or "BGR"; empty where the file does not say
	Told      string // what of the file says so: "meta.normalization.averageImage"
}

// Error is a file that breaks the rules of its format, or uses what is not read.
type Error struct {
	Offset int64 // byte of the file; 0 where none in particular is at fault
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("byte %d: %s", e.Offset, e.Reason) }

// Fail makes an Error.
func Fail(offset int64, format string, args ...any) error {
	return &Error{offset, fmt.Sprintf(format, args...)}
}

// IsJSON knows an object by the name of a member that it has somewhere.
func IsJSON(data []byte, member string) bool {
	return bytes.HasPrefix(bytes.TrimLeft(data[:min(len(data), 64)], " \t\r\n"), []byte("{")) &&
		bytes.Contains(data, []byte(`"`+member+`"`))
}

// Clip makes a text of a file's fit for a message.
func Clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

// Remedied is an error that says itself what to do about it.
type Remedied struct{ error }

// Remedy makes one.
func Remedy(text string, args ...any) error { return Remedied{fmt.Errorf(text, args...)} }

// UnrunnableError is a file that describes its network, which vggo cannot run. Another description does not help: it
// would compute something else with these weights.
type UnrunnableError struct{ Err error }

func (e *UnrunnableError) Error() string { return e.Err.Error() }
func (e *UnrunnableError) Unwrap() error { return e.Err }
