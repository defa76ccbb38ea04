package main

import (
	"context"
	"fmt"
	"image"
	"io"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// stdin is the name of the picture that is piped in.
const stdin = "-"

// loadedPicture is a file made ready for a model, or why it could not be.
type loadedPicture struct {
	path  string
	size  image.Point    // of the picture
	input *tensor.Tensor // 1 x C x H x W
	err   error
	took  time.Duration
}

// batchOf puts together the pictures of a group that could be read. at tells where in the group each image comes from.
func batchOf(group []loadedPicture) (batch *tensor.Tensor, at []int) {
	for i, p := range group {
		if p.err == nil {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return nil, nil
	}
	one := group[at[0]].input
	batch = tensor.New(len(at), one.C, one.H, one.W)
	for n, i := range at {
		copy(batch.Images(n, n+1).Data, group[i].input.Data)
	}
	return batch, at
}

// loadPictures makes files ready for a model in groups of its batch, each group's side by side, and the next one while
// a group is in use.
func loadPictures(ctx context.Context, m *root.Model, files []string, in io.Reader,
	limits vision.Limits) iter.Seq[[]loadedPicture] {
	return func(yield func([]loadedPicture) bool) {
		ctx, stop := context.WithCancel(ctx)
		groups := make(chan []loadedPicture)
		var loading sync.WaitGroup
		loading.Go(func() {
			defer close(groups)
			for group := range slices.Chunk(files, m.Batch()) {
				select {
				case groups <- loadGroup(ctx, m, group, in, limits):
				case <-ctx.Done():
					return
				}
			}
		})
		defer loading.Wait()
		defer stop()
		for group := range groups {
			if !yield(group) {
				return
			}
		}
	}
}

func loadGroup(ctx context.Context, m *root.Model, files []string, in io.Reader, limits vision.Limits) []loadedPicture {
	group := make([]loadedPicture, len(files))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(files)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(files)); i = next.Add(1) - 1 {
				group[i] = loadPicture(ctx, m, files[i], in, limits)
			}
		})
	}
	workers.Wait()
	return group
}

func loadPicture(ctx context.Context, m *root.Model, path string, in io.Reader,
	limits vision.Limits) (p loadedPicture) {
	start := time.Now()
	p.path = path
	if p.err = ctx.Err(); p.err != nil {
		return p
	}
	var picture *vision.Picture
	if picture, p.path, p.err = decodePicture(path, in, limits); p.err == nil {
		p.size = image.Pt(picture.W, picture.H)
		if p.input, p.err = m.Prepare(ctx, []*vision.Picture{picture}); p.err != nil {
			p.err = fmt.Errorf("%s: %w", p.path, p.err)
		}
	}
	p.took = time.Since(start)
	return p
}

// decodePicture decodes a file or standard input. Its name is for people, and its errors have it.
func decodePicture(path string, in io.Reader, limits vision.Limits) (picture *vision.Picture, name string, err error) {
	if path != stdin {
		picture, err = vision.DecodeFile(path, limits)
		return picture, path, nameFlag(err)
	}
	name = "standard input"
	if picture, err = vision.Decode(in, limits); err != nil {
		err = fmt.Errorf("%s: %w", name, nameFlag(err))
	}
	return picture, name, err
}
