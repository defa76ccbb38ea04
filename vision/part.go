package vision

import "image"

// Part is the part of a picture of w by h pixels that Put leaves after it has scaled and cropped, in the picture's own pixels, rounded
// to whole ones. It is an error where Fit would be one.
func (r Preprocess) Part(w, h int) (image.Rectangle, error) {
	size, err := cover(image.Pt(w, h), r.Resize)
	if err != nil {
		return image.Rectangle{}, err
	}
	back := func(at, scaled, whole int) int { return (2*at*whole + scaled) / (2 * scaled) }
	x, y := centre(size.X, r.Crop.X), centre(size.Y, r.Crop.Y)
	return image.Rect(back(x, size.X, w), back(y, size.Y, h), back(x+r.Crop.X, size.X, w), back(y+r.Crop.Y, size.Y, h)), nil
}
