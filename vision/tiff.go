package vision

import (
	"errors"
	"fmt"

	"golang.org/x/image/tiff"
)

// Tags of a TIFF's directory and their values (TIFF 6.0, section 8 and 11).
const (
	tagWidth, tagHeight         = 256, 257
	tagCompression              = 259
	tagPhotometric              = 262
	tagSamples, tagPlanes       = 277, 284
	tagTileWidth, tagTileHeight = 322, 323

	fax3, fax4     = 3, 4 // compression
	blackIsZero    = 1    // photometric interpretation
	separatePlanes = 2
)

// decodeTIFF decodes a TIFF's first picture.
func decodeTIFF(in *source) (*Picture, error) {
	tags := map[uint16]uint64{}
	for e := range tiffEntries(in.file) {
		tags[e.tag] = uint64(e.value)
	}
	if err := checkTIFF(tags); err != nil {
		return nil, err
	}
	decoded, err := tiff.Decode(in.open(in.file))
	if err != nil {
		return nil, err
	}
	p := FromImage(decoded)
	if c := tags[tagCompression]; (c == fax3 || c == fax4) && tags[tagPhotometric] == blackIsZero {
		// What a fax calls white is 0 and so black here. x/image takes it for white.
		for i := range p.Pix {
			p.Pix[i] = ^p.Pix[i]
		}
	}
	return p, nil
}

// checkTIFF refuses what x/image would get wrong: colours in planes of their own, which it takes for pixels side by side,
// and tiles so much larger than the picture that unpacking them costs far more than its pixels, which are counted.
func checkTIFF(tags map[uint16]uint64) error {
	if tags[tagPlanes] == separatePlanes && tags[tagSamples] > 1 {
		return errors.New("TIFF with each colour in a plane of its own is not supported: save it with the colours of a pixel side by side (planar configuration 1)")
	}
	w, h, tileW, tileH := tags[tagWidth], tags[tagHeight], tags[tagTileWidth], tags[tagTileHeight]
	if tileW == 0 || tileH == 0 {
		return nil // strips, which hold no more than the picture
	}
	most := 16*w*h + 1<<20
	across, down := (w+tileW-1)/tileW, (h+tileH-1)/tileH
	if tileW > most/tileH || across*down > most/(tileW*tileH) {
		return fmt.Errorf("TIFF of %dx%d pixels in tiles of %dx%d is refused: they are mostly padding", w, h, tileW, tileH)
	}
	return nil
}
