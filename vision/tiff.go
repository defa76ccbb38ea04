package vision

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/image/tiff"
)

// decodeTIFF decodes a TIFF's first picture.
func decodeTIFF(file []byte) (*Picture, error) {
	if err := checkTIFF(file); err != nil {
		return nil, err
	}
	decoded, err := tiff.Decode(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	return FromImage(decoded), nil
}

// checkTIFF refuses what x/image would get wrong: colours in planes of their own, which it takes for pixels side by side,
// and tiles so much larger than the picture that unpacking them costs far more than its pixels, which are counted.
func checkTIFF(file []byte) error {
	const (
		imageWidth, imageLength        = 256, 257
		samplesPerPixel, planar        = 277, 284
		tileWidth, tileLength          = 322, 323
		separate                       = 2
		padding, smallest       uint64 = 16, 1 << 20 // times the picture's pixels; and at least 1024 by 1024
	)
	value := map[uint16]uint64{}
	for e := range tiffEntries(file) {
		value[e.tag] = uint64(e.value)
	}
	if value[planar] == separate && value[samplesPerPixel] > 1 {
		return errors.New("TIFF with each colour in a plane of its own is not supported: save it with its samples interleaved (planar configuration 1)")
	}
	w, h, tileW, tileH := value[imageWidth], value[imageLength], value[tileWidth], value[tileLength]
	if tileW == 0 || tileH == 0 {
		return nil // strips, which hold no more than the picture
	}
	across, down := (w+tileW-1)/tileW, (h+tileH-1)/tileH
	if most := padding*w*h + smallest; tileW > most || tileH > most/tileW || across*down > most/(tileW*tileH) {
		return fmt.Errorf("TIFF of %dx%d pixels in tiles of %dx%d is refused: they are mostly padding", w, h, tileW, tileH)
	}
	return nil
}
