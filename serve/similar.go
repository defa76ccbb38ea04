package serve

import (
	"context"
	"fmt"
	"net/http"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/similar"
)

// similarity answers POST /v1/similar.
type similarity struct {
	Model    string        `json:"model"`
	Layer    string        `json:"layer"`
	Width    int           `json:"width"` // of the picture, turned upright
	Height   int           `json:"height"`
	Pictures int           `json:"pictures"` // in the index
	Found    []similar.Hit `json:"found"`    // the nearest first
}

// index is pictures to find.
type index struct {
	*similar.Index
	describer *similar.Describer
}

// openIndex opens an index of vectors by a model.
func openIndex(path string, m *vggo.Model) (*index, error) {
	x, err := similar.Open(path)
	if err != nil {
		return nil, err
	}
	x.Smalls = nil // they are for duplicates
	d, err := x.Describer(m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &index{x, d}, nil
}

// cost is the multiply-accumulates of a search.
func (x *index) cost() int64 {
	if x == nil {
		return 0
	}
	return max(int64(len(x.Vectors)), 1)
}

// bytes is what it takes.
func (x *index) bytes() int64 {
	const picture = 96 // with its path's head
	n := 4*int64(len(x.Vectors)) + picture*int64(len(x.Pictures))
	for _, p := range x.Pictures {
		n += int64(len(p.Path))
	}
	return n
}

// similar finds the pictures that are nearest to one.
func (c *call) similar() error {
	n, _ := c.number("n")
	m, out, w, h, err := c.ask(func(m *model) (string, error) {
		if m.index == nil {
			return "", refuse(notFound, "the server's --index names one, which vggo similar index makes",
				"%s has no index of pictures", m.name)
		}
		return m.index.describer.Note.Layer, nil
	}, 0)
	if err != nil {
		return err
	}
	vector, err := m.index.describer.Vectors(out)
	if err != nil {
		return refuse(notFinite, "other weights compute numbers", "%v", err)
	}
	if err := c.enterWork(m.index.cost()); err != nil {
		return err
	}
	if err := c.bytes.add(2 * 4 * int64(len(m.index.Pictures))); err != nil { // of products, and of the nearest
		return err
	}
	answer := similarity{m.name, m.index.Note.Layer, w, h, len(m.index.Pictures), []similar.Hit{}}
	err = c.alone(m.index.cost(), func(ctx context.Context) error {
		found, err := m.index.Find(ctx, vector, n, 1)
		answer.Found = append(answer.Found, found...)
		return err
	})
	if err != nil {
		return err
	}
	return c.answerJSON(http.StatusOK, answer)
}
