package page

import (
	"github.com/vggo/vggo/arch"
)

// Field is what one cell of a layer sees of the picture, and how that grows from layer to layer.
type Field struct {
	Layer string `json:"layer"`
	Y     int    `json:"y"`
	X     int    `json:"x"`
	Box   [4]int `json:"box"` // y0, x0 inclusive, y1, x1 exclusive, in the network's input
	// Middle is the place, y and x, that the field lies around, the picture's borders ignored; a pixel's is a half.
	Middle [2]float64 `json:"middle"`
	Steps  []Step     `json:"steps"`
	// the arithmetic from this layer down to the pixels, as vggo field tells it; empty where no formula fits
	Way []arch.FieldStep `json:"way"`
}

// Step is the cell in the middle of what the asked one sees of a layer below it, and what that cell sees of the
// picture.
type Step struct {
	Layer string `json:"layer"`
	Size  int    `json:"size"` // the height of its field, borders ignored
	Width int    `json:"width"`
	Box   [4]int `json:"box"`
}

// FieldOf works out what a cell of a layer sees. Layers that see no more than the one before them are left out of the
// steps.
func FieldOf(report *arch.Report, layer string, y, x int) (*Field, error) {
	placed := report.Placement()
	i, err := find(placed, layer)
	if err != nil {
		return nil, err
	}
	box, err := arch.Box(placed.Layers, i, x, y)
	if err != nil {
		return nil, &AskError{err.Error()}
	}
	whole, err := report.LayerField(layer)
	if err != nil {
		return nil, err
	}
	f := &Field{Layer: layer, Y: y, X: x, Box: [4]int{box.Min.Y, box.Min.X, box.Max.Y, box.Max.X}, Way: whole.Steps,
		Steps: []Step{}}
	own := report.Layers[i].Field
	f.Middle = [2]float64{own.H.Offset + float64(y)*own.H.Jump, own.W.Offset + float64(x)*own.W.Jump}
	for j := range i + 1 {
		below := report.Layers[j]
		if below.Formulas.Field == "" {
			continue
		}
		// The same place in another layer's grid: fields' centres are offset + index * jump pixels.
		cy := nearest(own.H, y, below.Field.H, below.Out.H)
		cx := nearest(own.W, x, below.Field.W, below.Out.W)
		b, err := arch.Box(placed.Layers, j, cx, cy)
		if err != nil {
			return nil, err
		}
		f.Steps = append(f.Steps, Step{below.Name, below.Field.H.Size, below.Field.W.Size, [4]int{b.Min.Y, b.Min.X,
			b.Max.Y, b.Max.X}})
	}
	return f, nil
}

// nearest is the unit of a lower layer whose field's centre is nearest to that of a unit above.
func nearest(above arch.AxisField, unit int, below arch.AxisField, units int) int {
	centre := above.Offset + float64(unit)*above.Jump
	return min(max(int((centre-below.Offset)/below.Jump+0.5), 0), units-1)
}
