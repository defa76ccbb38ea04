package similar

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/vggo/vggo/internal/parallel"
	"github.com/vggo/vggo/internal/plainfile"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// Build says how files become an Index.
type Build struct {
	Old    *Index                       // to take over from what has not changed; may be nil
	Bytes  bool                         // do not trust a file's size and time: read it to see whether it has changed
	Limits vision.Limits                // of a picture
	Failed func(path string, err error) // is told of each file that could not be read, in order
	Done   func(files int)              // is told how far it has come
}

// Built is what became of the files.
type Built struct {
	Decoded int // pictures whose vectors were made
	Read    int // files that were read and had not changed but for their time or their path
	Kept    int // files that were not even read
	Gone    int // pictures of Old that are not among the files
	Failed  int
}

// Index makes an index of files, in their order; one that is named twice stands in it once. What Old knows by path,
// size and time is taken over, and what it knows by its bytes is not decoded again. If ctx ends, the index of what has
// been done is returned with its error; what of Old was not come to stays in it.
func (d *Describer) Index(ctx context.Context, files []string, b Build) (*Index, Built, error) {
	if b.Old != nil {
		if err := b.Old.Note.differs(&d.Note); err != nil {
			return nil, Built{}, err
		}
	}
	k := newKnown(b.Old)
	x := &Index{Note: d.Note, Dims: d.Dims}
	var built Built
	files = once(files)
	done := 0
	open := func(ctx context.Context, path string) loaded { return d.open(ctx, path, k, &b) }
	for group := range parallel.Groups(ctx, files, d.model.Batch(), open) {
		if err := d.add(ctx, x, group, k, &built, &b); err != nil {
			if ctx.Err() != nil {
				break
			}
			return nil, built, err
		}
		done += len(group)
		if b.Done != nil {
			b.Done(done)
		}
	}
	if err := ctx.Err(); err != nil {
		for _, file := range files[done:] {
			if i, ok := k.byPath[file]; ok {
				x.take(k.old, i, k.old.Pictures[i])
				k.used[i] = true
			}
		}
		return x, built, err
	}
	for _, used := range k.used {
		if !used {
			built.Gone++
		}
	}
	return x, built, nil
}

// once are files without those that came before.
func once(files []string) []string {
	seen := make(map[string]bool, len(files))
	return slices.DeleteFunc(slices.Clone(files), func(file string) bool {
		was := seen[file]
		seen[file] = true
		return was
	})
}

// take adds a picture's vector and Small of another index.
func (x *Index) take(from *Index, i int, p Picture) {
	x.Pictures = append(x.Pictures, p)
	x.Vectors = append(x.Vectors, from.Vector(i)...)
	x.Smalls = append(x.Smalls, from.Smalls[i])
}

// known is an old index by paths and by bytes.
type known struct {
	old    *Index
	byPath map[string]int
	bySum  map[Sum]int
	used   []bool
}

func newKnown(old *Index) *known {
	k := &known{old: old, byPath: map[string]int{}, bySum: map[Sum]int{}}
	if old == nil {
		return k
	}
	k.used = make([]bool, len(old.Pictures))
	for i, p := range old.Pictures {
		k.byPath[p.Path] = i
		if _, ok := k.bySum[p.Sum]; !ok {
			k.bySum[p.Sum] = i
		}
	}
	return k
}

// loaded is a file made ready for the network, or found to be known, or why not.
type loaded struct {
	Picture
	old   int // in the old index; -1: it is to be described
	read  bool
	input *tensor.Tensor
	small *Small
	err   error
}

// open makes a file ready, unless the old index knows it.
func (d *Describer) open(ctx context.Context, path string, k *known, b *Build) (l loaded) {
	l.Path, l.old = path, -1
	if !utf8.ValidString(path) {
		l.err = fmt.Errorf("%q: a path that is not in UTF-8 cannot stand in an index: rename it", path)
		return l
	}
	info, err := os.Stat(path)
	if err != nil {
		var cause *fs.PathError // "stat" tells nobody anything
		if errors.As(err, &cause) {
			err = cause.Err
		}
		l.err = fmt.Errorf("%s: %w", path, err)
		return l
	}
	l.Bytes, l.Modified = info.Size(), info.ModTime().UnixNano()
	if at, ok := k.byPath[path]; ok && !b.Bytes {
		if p := k.old.Pictures[at]; p.Bytes == l.Bytes && p.Modified == l.Modified {
			l.old, l.Sum = at, p.Sum
			return l
		}
	}
	l.read = true
	picture, err := plainfile.Read(path, func(r io.Reader) (*vision.Picture, error) {
		// In little memory: a file that is known is not held.
		sum := sha256.New()
		file, seeks := r.(io.Seeker)
		if len(k.bySum) > 0 && seeks {
			if _, err := io.Copy(sum, r); err != nil {
				return nil, err
			}
			l.Sum = Sum(sum.Sum(nil))
			if i, ok := k.bySum[l.Sum]; ok {
				l.old = i
				return nil, nil
			}
			if _, err := file.Seek(0, io.SeekStart); err != nil {
				return nil, err
			}
			sum.Reset()
		}
		picture, err := vision.DecodeContext(ctx, io.TeeReader(r, sum), b.Limits) // which reads all of it
		l.Sum = Sum(sum.Sum(nil))
		return picture, err
	})
	if l.err = err; err != nil || picture == nil {
		return l
	}
	l.small = Shrink(picture)
	if l.input, err = d.model.Prepare(ctx, []*vision.Picture{picture}); err != nil {
		l.err = fmt.Errorf("%s: %w", path, err)
	}
	return l
}

// add describes what of a group is new and adds all of it to an index.
func (d *Describer) add(ctx context.Context, x *Index, group []loaded, k *known, built *Built, b *Build) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var fresh []int
	for i := range group {
		if group[i].err == nil && group[i].old < 0 {
			fresh = append(fresh, i)
		}
	}
	var vectors []float32
	if len(fresh) > 0 {
		one := group[fresh[0]].input
		batch := tensor.New(len(fresh), one.C, one.H, one.W)
		for n, i := range fresh {
			copy(batch.Images(n, n+1).Data, group[i].input.Data)
		}
		var err error
		if vectors, err = d.Describe(ctx, batch); err != nil {
			return err
		}
	}
	for i := range group {
		l := &group[i]
		// What Old knew by this path is not gone, whatever has become of it.
		if at, ok := k.byPath[l.Path]; ok {
			k.used[at] = true
		}
		switch {
		case l.err != nil:
			built.Failed++
			if b.Failed != nil {
				b.Failed(l.Path, l.err)
			}
		case l.old >= 0:
			if k.used[l.old] = true; l.read {
				built.Read++
			} else {
				built.Kept++
			}
			x.take(k.old, l.old, l.Picture)
		default:
			built.Decoded++
			x.Pictures = append(x.Pictures, l.Picture)
			x.Smalls = append(x.Smalls, *l.small)
			x.Vectors = append(x.Vectors, vectors[:d.Dims]...)
			vectors = vectors[d.Dims:]
		}
	}
	return nil
}
