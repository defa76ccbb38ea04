package vision

import "image"

// Part is the part of a picture of w by h pixels that Put leaves after it has scaled and cropped, in the picture's own
// pixels, rounded to whole ones. It is an error where Fit would be one.
func (r Preprocess) Part(w, h int) (image.Rectangle, error) {
	size, kept, err := r.window(w, h)
	if err != nil {
		return image.Rectangle{}, err
	}
	back := func(at, scaled, whole int) int { return (2*at*whole + scaled) / (2 * scaled) }
	return image.Rect(back(kept.Min.X, size.X, w), back(kept.Min.Y, size.Y, h), back(kept.Max.X, size.X, w),
		back(kept.Max.Y, size.Y, h)), nil
}

// window is the size that a picture of w by h pixels is scaled to, and what is kept of that.
func (r Preprocess) window(w, h int) (size image.Point, kept image.Rectangle, err error) {
	size = r.Resize
	if !r.Stretch {
		if size, err = cover(image.Pt(w, h), r.Resize); err != nil {
			return size, kept, err
		}
	}
	corner := image.Pt(centre(size.X, r.Crop.X), centre(size.Y, r.Crop.Y))
	return size, image.Rectangle{Min: corner, Max: corner.Add(r.Crop)}, nil
}
