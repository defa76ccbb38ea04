package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/vggo/vggo/report/internal/svg"
)

var (
	bandwidths = []float64{1, 2.5, 10, 25, 40, 100, 200, 400} // Gbit/s
	numbers    = []float64{2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}
)

// colours of the options.
var colours = [options]string{svg.Grey, svg.Blue, svg.Green, svg.Red}

const (
	cellWidth, cellHeight = 52.0, 30.0
	left, top, between    = 70.0, 92.0, 60.0
)

// draw draws for both kinds of ranks which option is best for how many ranks on which link.
func draw(w io.Writer, n network) error {
	panel := float64(len(bandwidths))*cellWidth + between
	d := svg.New(left+2*panel, top+float64(len(numbers))*cellHeight+44, "Which way of summing VGG-16's gradients is best")
	at := left
	for o, name := range english.options {
		d.Add(`<rect x="%.1f" y="14" width="14" height="14" fill="%s"/>`, at, colours[o])
		d.Text(at+20, 26, 12, "", name)
		at += 20 + svg.Width(name, 12) + 24
	}
	for i, r := range []rank{slow, fast} {
		x := left + float64(i)*panel
		d.Text(x, 58, 13, `font-weight="600"`, english.ranks[i])
		for column, gbit := range bandwidths {
			d.Text(x+(float64(column)+0.5)*cellWidth, top-8, 12, `text-anchor="middle"`, fmt.Sprintf("%g", gbit))
		}
		for row, ranks := range numbers {
			y := top + float64(row)*cellHeight
			d.Text(x-8, y+20, 12, `text-anchor="end"`, fmt.Sprintf("%g", ranks))
			for column, gbit := range bandwidths {
				l := linkOf(gbit)
				best, e := n.best(r, l, ranks)
				var each []string
				for o := range options {
					each = append(each, fmt.Sprintf("%s %.0f %%", english.options[o], 100*n.efficiency(r, l, ranks, o)))
				}
				left := x + float64(column)*cellWidth
				d.Add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s</title></rect>`, left+1, y+1,
					cellWidth-2, cellHeight-2, colours[best], svg.Escape(strings.Join(each, ", ")))
				d.Text(left+cellWidth/2, y+20, 12, `text-anchor="middle" fill="#fff" pointer-events="none"`,
					fmt.Sprintf("%.0f %%", 100*e))
			}
		}
		d.Text(x, top+float64(len(numbers))*cellHeight+26, 12, "", "Gbit/s across, ranks down; the share of a step that is "+
			"not lost")
	}
	_, err := d.WriteTo(w)
	return err
}
