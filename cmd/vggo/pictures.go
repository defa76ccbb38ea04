package main

import (
	"context"
	"fmt"
	"image"
	"io"
	"iter"
	"time"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/internal/parallel"
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

// loadPictures makes files ready for a model in groups of its batch.
func loadPictures(ctx context.Context, m *root.Model, files []string, in io.Reader,
	limits vision.Limits) iter.Seq[[]loadedPicture] {
	return parallel.Groups(ctx, files, m.Batch(), func(ctx context.Context, file string) loadedPicture {
		return loadPicture(ctx, m, file, in, limits)
	})
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
