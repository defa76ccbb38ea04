package nn

import "github.com/vggo/vggo/internal/kernel"

// direct is a convolution without im2col: a band of input rows is copied, with its padding, into a worker's scratch,
// and the matrix kernel reads every window of the band where it lies. The same engine computes the data gradient, which
// is a convolution of the output's gradient with flipped, transposed weights.
//
// The band is [channel block][row][column][width of a block]; a kernel row of a channel block is then kw*width
// contiguous floats: one run of the kernel (kw runs if columns are dilated).
type direct struct {
	inH, inW         int
	outH, outW       int
	kh, kw           int
	strideH, strideW int
	dilH, dilW       int
	upH, upW         int // zero-insertion: input row y stands at y*upH (the data gradient of a strided convolution)
	top, left        int // padding before; negative where the window starts inside
	width            int // of an input block: 16, or the number of channels if fewer and planar
	inBlocks         int
	outBlocks        int

	rows      int   // output rows of a band
	bandRows  int   // input rows of a band
	bandCols  int   // input columns of a band
	runs      []int // for the kernel: a window's runs within the band
	runLength int
}

// bandFloats bounds the scratch of a band: 384 KiB leaves room in a 1 MiB L2 cache for the weights and the output rows.
const bandFloats = 96 << 10

func (d *direct) prepare() {
	d.bandCols = (d.outW-1)*d.strideW + (d.kw-1)*d.dilW + 1
	d.inBands(max(1, (bandFloats/(d.bandCols*d.width*d.inBlocks)-d.extent())/d.strideH+1))
}

// extent is the input rows that a window spans.
func (d *direct) extent() int { return (d.kh-1)*d.dilH + 1 }

// inBands makes bands of equal height, of at most so many output rows.
func (d *direct) inBands(rows int) {
	d.rows = min(d.outH, rows)
	d.rows = (d.outH + d.bands() - 1) / d.bands()
	d.bandRows = (d.rows-1)*d.strideH + d.extent()
	d.runs, d.runLength = d.blockRuns(d.bandRows, d.inBlocks)
}

// blockRuns lists where the runs of a window start within a band of so many rows and channel blocks.
func (d *direct) blockRuns(bandRows, blocks int) (runs []int, length int) {
	length = d.width
	cols := d.kw
	if d.dilW == 1 || d.kw == 1 {
		length, cols = d.width*d.kw, 1
	}
	for b := range blocks {
		for kh := range d.kh {
			for kw := range cols {
				runs = append(runs, ((b*bandRows+kh*d.dilH)*d.bandCols+kw*d.dilW)*d.width)
			}
		}
	}
	return runs, length
}

func (d *direct) bands() int      { return (d.outH + d.rows - 1) / d.rows }
func (d *direct) scratch() int    { return d.inBlocks * d.bandRows * d.bandCols * d.width }
func (d *direct) depth() int      { return d.inBlocks * d.kh * d.kw * d.width }
func (d *direct) packedSize() int { return d.outBlocks * d.depth() * kernel.Block }

// pack stores the weights of one output block as the kernel reads them, [depth][16], depth in the order of the runs.
// taps is the block as filters.gather has it.
func (d *direct) pack(packed, taps []float32) {
	area := d.kh * d.kw
	at := 0
	for b := range d.inBlocks {
		for tap := range area {
			for c := b * d.width; c < (b+1)*d.width; c++ {
				at += copy(packed[at:at+kernel.Block], taps[(c*area+tap)*kernel.Block:])
			}
		}
	}
}

// source is a feature map of one image to take bands from: blocked, or planar (NCHW) for a Plan's input.
type source struct {
	data     []float32
	planar   bool
	channels int // of a planar source
}

// fill copies the band whose first output row is y0, for blocks [b0, b1) of the source, into dst.
func (d *direct) fill(dst []float32, src source, b0, b1, y0, bandRows int) {
	for b := b0; b < b1; b++ {
		for r := range bandRows {
			row := dst[((b-b0)*bandRows+r)*d.bandCols*d.width:][:d.bandCols*d.width]
			y := y0*d.strideH + r - d.top
			if y < 0 || y%d.upH != 0 || y/d.upH >= d.inH {
				clear(row)
				continue
			}
			if src.planar {
				d.fillPlanar(row, src, b, y/d.upH)
			} else {
				d.fillBlocked(row, src.data[(b*d.inH+y/d.upH)*d.inW*kernel.Block:][:d.inW*kernel.Block])
			}
		}
	}
}

func (d *direct) fillBlocked(row, src []float32) {
	if d.upW == 1 {
		from := max(0, d.left)
		to := min(d.bandCols, d.left+d.inW)
		if to <= from {
			clear(row)
			return
		}
		clear(row[:from*kernel.Block])
		copy(row[from*kernel.Block:to*kernel.Block], src[(from-d.left)*kernel.Block:])
		clear(row[to*kernel.Block:])
		return
	}
	clear(row)
	for x := range d.inW {
		if at := x*d.upW + d.left; at >= 0 && at < d.bandCols {
			copy(row[at*kernel.Block:][:kernel.Block], src[x*kernel.Block:])
		}
	}
}

// fillPlanar interleaves the channels of a block. A planar source is a Plan's input, never a gradient: no
// zero-insertion.
func (d *direct) fillPlanar(row []float32, src source, b, y int) {
	clear(row)
	from := max(0, d.left)
	to := min(d.bandCols, d.left+d.inW)
	for c := range min(d.width, src.channels-b*d.width) {
		plane := src.data[((b*d.width+c)*d.inH+y)*d.inW:][:d.inW]
		for at := from; at < to; at++ {
			row[at*d.width+c] = plane[at-d.left]
		}
	}
}

// convolve computes output rows of one band and output blocks [o0, o1) of one part of an image. out is the part's first
// output block; blocks lie outH*outW*16 apart.
func (s *directPass) convolve(band, bias, out []float32, part, y0, o0, o1 int) {
	d := &s.direct
	outBlock := d.outH * d.outW * kernel.Block
	m := kernel.Matmul{
		Bands: min(d.rows, d.outH-y0), M: d.outW, Blocks: o1 - o0,
		K: d.runLength, Runs: d.runs,
		A: band, ABand: d.strideH * d.bandCols * d.width, ARow: d.strideW * d.width, ACol: 1,
		BRow: kernel.Block, BBlock: d.depth() * kernel.Block,
		C: out[o0*outBlock+y0*d.outW*kernel.Block:], CBand: d.outW * kernel.Block, CRow: kernel.Block, CBlock: outBlock,
		ReLU: s.relu,
	}
	end := (part + 1) * d.packedSize()
	s.packed.operand(&m, part*d.packedSize()+o0*d.depth()*kernel.Block, end, end)
	if bias != nil {
		m.Bias = bias[o0*kernel.Block : o1*kernel.Block]
	}
	s.engine.set.Matmul(&m)
}

// directPass runs a direct over a batch: parts of it, for groups that fill whole blocks, each on blocks of its own.
type directPass struct {
	direct
	engine *engine
	parts  int
	packed *packed
	bias   []float32 // padded to blocks; nil: none
	relu   bool
	planar int // channels of the Plan's N,C,H,W images, which are then the source; 0: a blocked map
	split  int // output blocks of a part are shared among so many tasks

	src, dst []float32
	job      func(worker, task int)
}

func newDirectPass(p *Plan, d *direct, parts, images int, bias []float32) *directPass {
	s := &directPass{direct: *d, engine: &p.engine, parts: parts, bias: bias}
	// Few images make lower bands, so that every thread has some, and where there are too few rows for that, share the
	// output blocks of a band. Results do not depend on it.
	// The fewer tasks a thread has, the longer the others wait for the slowest core's last one.
	const fewestRows = 4
	tasks := max(16, 8*p.Threads)
	if bands := (tasks + images*parts - 1) / (images * parts); bands > d.bands() {
		s.inBands(max(d.outH/bands, fewestRows))
	}
	have := images * parts * s.bands()
	s.split = min(d.outBlocks, (tasks+have-1)/have)
	p.needScratch(s.scratch())
	s.job = s.task
	return s
}

func (s *directPass) weights() *packed { return s.packed }

func (s *directPass) pack(f *filters) (beyond float32) {
	channels := s.inBlocks * s.width
	beyonds := make([]float32, s.parts*s.outBlocks)
	s.engine.team.run(s.parts*s.outBlocks, func(worker, task int) {
		taps := s.engine.scratch[worker][:channels*s.kh*s.kw*kernel.Block]
		f.gather(taps, channels, task/s.outBlocks, task%s.outBlocks)
		at, size := task*s.depth()*kernel.Block, s.depth()*kernel.Block
		if s.packed.half == nil {
			s.direct.pack(s.packed.data[at:], taps)
			return
		}
		wide := s.engine.scratch[worker][len(taps):][:size]
		s.direct.pack(wide, taps)
		if i := s.engine.set.Narrow(s.packed.half[at:][:size], wide); i >= 0 {
			beyonds[task] = wide[i]
		}
	})
	return firstOf(beyonds)
}

// run convolves n images from src to dst.
func (s *directPass) run(n int, src, dst []float32) {
	s.src, s.dst = src, dst
	s.engine.team.run(n*s.parts*s.bands()*s.split, s.job)
}

func (s *directPass) task(worker, task int) {
	share, task := task%s.split, task/s.split
	y0, task := task%s.bands()*s.rows, task/s.bands()
	part, n := task%s.parts, task/s.parts
	band := s.engine.scratch[worker]
	s.fill(band, s.source(n, part), 0, s.inBlocks, y0, s.bandRows)
	o0, o1 := share*s.outBlocks/s.split, (share+1)*s.outBlocks/s.split
	var bias []float32
	if s.bias != nil {
		bias = s.bias[part*s.outBlocks*kernel.Block:]
	}
	size := s.outBlocks * s.outH * s.outW * kernel.Block
	s.convolve(band[:s.scratch()], bias, s.dst[(n*s.parts+part)*size:], part, y0, o0, o1)
}

// source is the input blocks of one part of an image.
func (s *directPass) source(n, part int) source {
	if s.planar > 0 {
		return s.engine.planarImage(n)
	}
	size := s.inBlocks * s.inH * s.inW * kernel.Block
	return source{data: s.src[(n*s.parts+part)*size:]}
}
