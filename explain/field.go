package explain

import (
	"image"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/vision"
)

// Field is the pixels of the network's input that unit (x, y) of a layer's map sees, cut off at the border: Min
// inclusive, Max exclusive. It is empty for a unit that sees padding alone.
func Field(m *vggo.Model, layer string, x, y int) (image.Rectangle, error) {
	placed, err := m.Placed.Until(layer)
	if err != nil {
		return image.Rectangle{}, err
	}
	return arch.Box(placed.Layers, len(placed.Layers)-1, x, y)
}

// Frame draws a line around a part of a picture, within it, and dims the rest.
func Frame(picture *vision.Picture, part image.Rectangle) *image.NRGBA {
	out := picture.RGB().Image().(*image.NRGBA)
	line := max(1, max(picture.W, picture.H)/150)
	within := part.Inset(line)
	for y := range picture.H {
		for x := range picture.W {
			p := out.Pix[out.PixOffset(x, y):]
			switch at := image.Pt(x, y); {
			case at.In(within):
			case at.In(part):
				c := Viridis(1)
				p[0], p[1], p[2] = c.R, c.G, c.B
			default:
				p[0], p[1], p[2] = p[0]/3, p[1]/3, p[2]/3
			}
		}
	}
	return out
}
